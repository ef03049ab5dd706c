"""Code in containers that joins its run: prefect-ml is in the image, and the store on this machine or a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefect_ml import get_run, metric_history, run_project, search_runs
from prefect_ml.store.run_artifacts import download_artifacts

pytestmark = pytest.mark.heavy

TRAIN = """
import os
from pathlib import Path
import prefect_ml as ml
with ml.start_run():
    for step in range(5):
        ml.log_metric("loss", 1 / (1 + step), step=step)
    Path("made.txt").write_text("in a container")
    ml.log_artifact("made.txt")
    print("in", ml.current_run().id, os.getuid(), flush=True)
"""
DESCRIBED = "name: contained\nentry_points: {main: {command: python train.py}}\n"
PYPROJECT = '[project]\nname = "contained"\nversion = "1"\ndependencies = ["prefect", "prefect-ml"]\n'
FLOW = """
from prefect import flow, task
import prefect_ml as ml

@task
def double(n: int) -> int:
    return 2 * n

@flow
def train(n: int = 1) -> int:
    ml.log_metric("n", n)
    return double(n)
"""


@pytest.fixture
def contained(base_image: str, home: Path, environments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose Python environment, with prefect-ml, is put on the base image."""
    monkeypatch.setenv("PREFECT_ML_DOCKER_BASE", base_image)
    home.mkdir(exist_ok=True)
    (home / "environments").symlink_to(environments)
    folder = tmp_path / "p"
    folder.mkdir()
    for name, text in {"MLproject": DESCRIBED, "pyproject.toml": PYPROJECT, "train.py": TRAIN}.items():
        (folder / name).write_text(text)
    (folder / "requirements.txt").write_text("prefect\npsycopg[binary]\n")
    return folder


def test_code_in_a_container_joins_its_run_in_sqlite(contained: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    ran = run_project(contained, environment="docker", report=lines.append)
    assert f"in {ran.run_id} {os.getuid()}" in lines
    assert list(metric_history(ran.run_id, "loss").steps) == [0, 1, 2, 3, 4]
    assert [run.id for run in search_runs("")] == [ran.run_id]
    assert download_artifacts(ran.run_id, "made.txt", to=tmp_path).read_text() == "in a container"
    run = get_run(ran.run_id)
    assert run.status == "Completed"
    assert run.source.environment == f"docker:{ran.environment}"


def test_code_in_a_container_joins_its_run_on_a_server_of_this_machine(
    contained: Path, postgresql: Callable[[], str], s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PREFECT_ML_STORE_URL", postgresql())
    monkeypatch.setenv("PREFECT_ML_ARTIFACT_ROOT", "s3://bucket/docker-heavy")
    ran = run_project(contained, environment="docker")
    assert list(metric_history(ran.run_id, "loss").steps) == [0, 1, 2, 3, 4]
    assert get_run(ran.run_id).artifact_uri.startswith("s3://bucket/docker-heavy")


def test_a_flow_runs_in_a_container_on_the_server_of_this_machine(
    contained: Path, laptop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (contained / "MLproject").unlink()
    (contained / "train.py").write_text(FLOW)
    monkeypatch.setenv("PREFECT_API_URL", laptop.api_url)
    ran = run_project(contained, entry_point="train", params={"n": 21}, environment="docker")
    assert ran.result == 42
    assert ran.flow_run_id is not None
