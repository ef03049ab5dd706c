"""Projects from every place in every kind of environment, and the table in docs/projects.md that says so."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefect_ml import download_artifacts, get_run, run_project

SOURCES = ("folder", "git+file", "git+http", "git+ssh", "zip", "s3")
KINDS = ("uv", "conda", "docker", "system")
CONDA_TOOLS = ("micromamba", "mamba", "conda", "pixi")
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
    shared_home: Path,
    tmp_path: Path,
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
    run = get_run(ran.run_id)
    assert (run.status, run.params) == ("Completed", {"alpha": "0.10", "word": "it's $HOME"})
    address = place.address.removeprefix("git+file://")
    assert run.source.project in (f"{place.address}#{kind}", f"{address}#{kind}")
    assert (run.source.commit, run.source.version, run.source.subfolder) == (place.commit, place.version, kind)
    assert run.source.dirty is (None if place.commit is None else False)
    built_by = "uv" if kind == "conda" and not any(map(shutil.which, CONDA_TOOLS)) else kind
    assert run.source.environment == f"{built_by}:{ran.environment}"
    told = json.loads(download_artifacts(run.id, "project/output.txt", to=tmp_path).read_text())
    assert (told["alpha"], told["word"]) == (0.1, "it's $HOME")
    assert run.metrics == ({"alpha": 0.1} if kind == "system" else {})
    if kind == "system":
        assert told["prefix"] == sys.prefix
    elif kind != "docker":
        assert Path(told["tabulate"]).is_relative_to(shared_home / "environments" / ran.environment)
