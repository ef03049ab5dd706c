"""Images of projects for work pools: what they stand on, what is refused, and what a project in one says of itself."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from prefect_ml import get_run, run_project
from prefect_ml.environments.docker import FACTS, runtime_declared
from prefect_ml.errors import EnvironmentFailed, ProjectError
from prefect_ml.flows.projects.work_pools import build_image

MLPROJECT = "name: p\nentry_points: {main: {command: 'true'}}\n"


def test_prefect_ml_in_an_image_stands_on_the_versions_that_run_here() -> None:
    declared = runtime_declared(["psycopg[binary]"])
    assert declared.with_prefect_ml
    assert declared.requirements == "psycopg[binary]\n"
    pinned = declared.constraints.splitlines()
    for name in ("prefect", "sqlalchemy", "psycopg", "psycopg-binary"):
        assert f"{name}=={version(name)}" in pinned
    assert not [line for line in pinned if line.startswith(("prefect-ml==", "pytest=="))]
    with pytest.raises(EnvironmentFailed, match="'psycopg binary' is no requirement"):
        runtime_declared(["psycopg binary"])


def test_a_project_that_no_image_can_hold_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "MLproject").write_text(MLPROJECT)
    with pytest.raises(EnvironmentFailed, match="declares no environment"):
        build_image(str(tmp_path))
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(EnvironmentFailed, match="starts no further ones: deploy the project to a process work pool"):
        build_image(str(tmp_path))
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\ndependencies = ["prefect-ml"]\n')
    with pytest.raises(ProjectError, match=r"declares prefect-ml itself; list psycopg\[binary\] there"):
        build_image(str(tmp_path), packages=["psycopg[binary]"])
    with pytest.raises(ProjectError, match="nowhere"):
        build_image(str(tmp_path / "nowhere"))


def test_a_project_in_an_image_says_where_it_comes_from(home: Path, tmp_path: Path) -> None:
    facts = {"uri": "/home/me/p", "commit": "1" * 40, "dirty": False, "branch": "main", "remote": "https://h/p.git"}
    (tmp_path / "MLproject").write_text(MLPROJECT)
    (tmp_path / FACTS).write_text(json.dumps(facts))
    source = get_run(run_project(tmp_path, environment="system", report=lambda _: None).run_id).source
    assert (source.project, source.commit, source.dirty) == ("/home/me/p", "1" * 40, False)
    assert (source.branch, source.remote) == ("main", "https://h/p.git")
    (tmp_path / FACTS).write_text("[]")
    source = get_run(run_project(tmp_path, environment="system", report=lambda _: None).run_id).source
    assert (source.project, source.commit) == (str(tmp_path), None)
