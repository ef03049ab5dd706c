"""Projects from every place in every kind of environment, and the table in docs/projects.md that says so."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefect_ml import run_project

SOURCES = ("folder", "git+file", "git+http", "git+ssh", "zip", "s3")
KINDS = ("uv", "conda", "docker", "system")
DOCS = Path(__file__).parents[1] / "docs" / "projects.md"


@pytest.fixture
def shared_home(home: Path, environments: Path) -> Path:
    home.mkdir()
    (home / "environments").symlink_to(environments)
    return home


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_project_of_any_source_runs_here_in_any_environment(
    source: str,
    kind: str,
    matrix: Callable[[str], Any],
    check_matrix_run: Callable[..., Any],
    shared_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if kind == "docker":
        request.getfixturevalue("base_image")
    place = matrix(source)
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    ran = run_project(
        f"{place.address}#{kind}",
        params={"alpha": "0.10", "word": "it's $HOME"},
        version=place.version,
        environment="system" if kind == "system" else None,
        report=lambda _: None,
    )
    run, told = check_matrix_run(ran.run_id, kind, shared_home / "environments")
    address = place.address.removeprefix("git+file://")
    assert run.source.project in (f"{place.address}#{kind}", f"{address}#{kind}")
    assert (run.source.commit, run.source.version, run.source.subfolder) == (place.commit, place.version, kind)
    assert run.source.dirty is (None if place.commit is None else False)
    assert (told["prefix"] == sys.prefix) is (kind == "system")


def named_tests(text: str) -> set[str]:
    """Give the ids of the tests that the table names."""
    tests = dict(re.findall(r"\*\*([A-Z])\*\*,[^`]*`(test_\w+\.py::\w+)`", text))
    found: set[str] = set()
    for row in re.findall(r"^\| ([a-z0-9+_]+) \| ([a-z]+) \|(.*)\|$", text, re.MULTILINE):
        for letter in row[2].split("|"):
            if name := tests.get(letter.strip()):
                found.add(name if "refuses" in name else f"{name}[{row[0]}-{row[1]}]")
            assert letter.strip() in {*tests, "K", "none"}
    return found


def test_the_table_in_the_docs_names_the_tests_that_exist() -> None:
    files = [str(Path(__file__).with_name(name)) for name in ("test_project_matrix.py", "test_work_pools.py")]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "heavy or not heavy", "-p", "no:xdist"]
    collected = subprocess.run([*command, *files], capture_output=True, text=True, check=False).stdout
    exist = set(re.findall(r"(test_\w+\.py::.*)$", collected, re.MULTILINE))
    text = DOCS.read_text().partition("## What is tested")[2]
    assert named_tests(text) <= exist
    cells = {name for name in exist if name.endswith("]") and "_reruns_" not in name}
    assert cells <= named_tests(text), "each cell is in the table"
