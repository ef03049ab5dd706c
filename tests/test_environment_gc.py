"""Environments that are kept: listed with who uses them, and removed when nobody has for a while."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from prefect_ml.environments import Declared, Environment, own_wheel, realise
from prefect_ml.environments.collect import collect_environments, list_environments

EMPTY = Declared(requirements="", origin="a test")
DAY = 86400


def unused_for(environment: Environment, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(environment.prefix / "prefect-ml-environment.json", (then, then))


@pytest.fixture
def old(tmp_path: Path) -> Environment:
    """An environment that nobody has used for 40 days."""
    environment = realise(EMPTY, root=tmp_path)
    unused_for(environment, 40)
    return environment


@pytest.fixture
def sleeper(old: Environment) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the environment's interpreter, which prefect-ml has not started."""
    process = subprocess.Popen([old.python, "-c", "import time; time.sleep(600)"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_what_nobody_has_used_is_removed_and_built_again_when_needed(old: Environment, tmp_path: Path) -> None:
    young = realise(replace(EMPTY, requirements="# other\n"), root=tmp_path)
    (kept,) = collect_environments(tmp_path, dry_run=True)
    assert (kept.digest, kept.kind, kept.origin, kept.in_use) == (old.digest, "uv", "a test", False)
    assert old.python.exists()
    assert collect_environments(tmp_path, older_than_days=50) == []
    assert collect_environments(tmp_path) == [kept]
    assert [path.name for path in tmp_path.iterdir() if old.digest in path.name] == []
    assert young.python.exists()
    assert realise(EMPTY, root=tmp_path).python.exists()


def test_being_asked_for_is_a_use(old: Environment, tmp_path: Path) -> None:
    realise(EMPTY, root=tmp_path)
    assert collect_environments(tmp_path) == []
    unused_for(old, 0.01)
    before = list_environments(tmp_path)[0].last_used
    realise(EMPTY, root=tmp_path)
    assert list_environments(tmp_path)[0].last_used == before, "not every start writes"


def test_what_a_command_runs_in_is_kept_until_its_last_process_ends(old: Environment, tmp_path: Path) -> None:
    command = old.start("echo begun; sleep 600", folder=tmp_path, environ={"PATH": os.environ["PATH"]})
    try:
        assert next(iter(command.lines())) == "begun"
        assert list_environments(tmp_path)[0].in_use
        assert collect_environments(tmp_path) == []
    finally:
        command.stop(grace=1)
    for _ in range(100):
        if collect_environments(tmp_path):
            break
        time.sleep(0.05)
    assert not old.prefix.exists()


def test_what_a_process_of_anybody_runs_in_is_kept(
    old: Environment, sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    link = tmp_path.with_name("link")
    link.symlink_to(tmp_path)
    assert collect_environments(tmp_path) == []
    assert collect_environments(link) == []
    sleeper.kill()
    sleeper.wait()
    assert [kept.digest for kept in collect_environments(link)] == [old.digest]


def test_what_builds_have_left_and_old_wheels_are_removed(tmp_path: Path) -> None:
    left, stranger = tmp_path / ("0" * 16), tmp_path / "somebody-elses"
    wheel = own_wheel(cache=tmp_path / "wheels")
    other = tmp_path / "wheels" / ("1" * 16)
    for folder in (left, stranger, other):
        folder.mkdir()
        (folder / "file").write_text("x" * 100)
    (tmp_path / f"{'2' * 16}.lock").touch()
    assert collect_environments(tmp_path) == []
    removed = collect_environments(tmp_path, older_than_days=0)
    assert {(kept.digest, kept.kind, kept.size) for kept in removed} == {
        ("0" * 16, "unfinished", 100),
        ("1" * 16, "wheel", 100),
    }
    assert stranger.exists()
    assert not list(tmp_path.glob("*.lock"))
    assert wheel.exists(), "the next environment gets the wheel of the running prefect-ml"
    assert collect_environments(tmp_path / "nowhere") == []


def test_the_command_line_lists_and_collects(home: Path) -> None:
    environment = realise(EMPTY, root=home / "environments")
    unused_for(environment, 40)
    listed = json.loads(prefect_ml("list", "--json"))
    assert [(kept["digest"], kept["in_use"]) for kept in listed] == [(environment.digest, False)]
    assert environment.digest in prefect_ml("list")
    assert "1 would be removed" in prefect_ml("gc", "--dry-run")
    assert environment.python.exists()
    assert "1 removed" in prefect_ml("gc", "--older-than", "30")
    assert not environment.prefix.exists()
    assert "No environment is unused for 30 days" in prefect_ml("gc")


def prefect_ml(*arguments: str) -> str:
    command = [sys.executable, "-m", "prefect_ml.cli", "environments", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
