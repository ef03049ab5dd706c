"""The main job on a running `prefect-ml up`: declared environment, promotion, endpoint, replacement, refusal."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.datasets import load_digits

from prefect_ml import (
    get_endpoint,
    get_run,
    log_model,
    promote,
    register_model,
    search_model_versions,
    search_runs,
    start_run,
)
from prefect_ml.errors import EndpointNotFound
from prefect_ml.flows.services import prefect_environment
from prefect_ml.settings import Settings, load_settings
from prefect_ml.store import Store, open_store

DIGITS = Path(__file__).parents[1] / "examples" / "digits"


@pytest.fixture(scope="module")
def settings(laptop: Any) -> Settings:
    return load_settings(environ=laptop.environ, block=dict)


@pytest.fixture(scope="module")
def shared(settings: Settings) -> Store:
    """The store of the laptop."""
    return open_store(settings)


def deploy(folder: Path, settings: Settings) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    ended = subprocess.run(
        command, cwd=folder, env=prefect_environment(settings), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def prefect(method: str, url: str, **content: Any) -> Any:
    """Ask Prefect, which answers 503 while its database is busy with somebody else."""
    reply = eventually(
        lambda: None if (r := httpx.request(method, url, timeout=30, **content)).status_code == 503 else r, seconds=20
    )
    return reply.raise_for_status().json()


def run_deployment(api: str, name: str) -> dict[str, Any]:
    """Run a deployment to its end and give the flow run."""
    deployment = prefect("GET", f"{api}/deployments/name/{name}")
    created = prefect("POST", f"{api}/deployments/{deployment['id']}/create_flow_run", json={})

    def ended() -> dict[str, Any] | None:
        found = prefect("GET", f"{api}/flow_runs/{created['id']}")
        return found if found["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

    return eventually(ended, seconds=240)


def eventually(look: Callable[[], Any], *, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    pytest.fail(f"nothing came within {seconds} s")


def endpoint_of(shared: Store, name: str, **wanted: object) -> Any:
    def look() -> Any:
        try:
            found = get_endpoint(name, "Production", store=shared)
        except EndpointNotFound:
            return None
        return found if all(getattr(found, key) == value for key, value in wanted.items()) else None

    return eventually(look, seconds=150)


PROBE = """
import sys
import tabulate
from prefect_ml import log_params
from prefect_ml.tasks import tracked_flow

@tracked_flow(declared_environment={declared})
def probe():
    "Says where it runs."
    log_params({{"prefix": sys.prefix, "tabulate": tabulate.__file__}})
"""
DEPLOYMENTS = """
name: probe
deployments:
- name: declared
  entrypoint: probe.py:probe
  build:
  - prefect_ml.environments.steps.declare_environment: {id: environment}
  pull:
  - prefect_ml.environments.steps.enter_project: {directory: "{{ environment.directory }}"}
  work_pool: {name: ml, job_variables: {env: "{{ environment.job_env }}"}}
- name: elsewhere
  entrypoint: refused.py:probe
  pull:
  - prefect.deployments.steps.set_working_directory: {directory: FOLDER}
  work_pool: {name: ml}
"""


def test_a_flow_run_executes_in_the_declared_environment_and_in_no_other(
    laptop: Any, settings: Settings, shared: Store, tmp_path: Path
) -> None:
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(DIGITS / name, tmp_path / name)
    (tmp_path / "probe.py").write_text(PROBE.format(declared=True))
    (tmp_path / "refused.py").write_text(PROBE.format(declared=True).replace("import tabulate\n", "tabulate = sys\n"))
    (tmp_path / "prefect.yaml").write_text(DEPLOYMENTS.replace("FOLDER", str(tmp_path)))
    deploy(tmp_path, settings)

    ran = run_deployment(laptop.api_url, "probe/declared")
    assert ran["state"]["type"] == "COMPLETED", ran["state"]
    params = get_run(ran["id"], store=shared).params
    prefix = Path(params["prefix"])
    assert prefix.parent == settings.environments
    assert Path(params["tabulate"]).is_relative_to(prefix)
    only_the_project_has = subprocess.run([sys.executable, "-c", "import tabulate"], capture_output=True, check=False)
    assert only_the_project_has.returncode != 0, "the worker's own environment has no tabulate"

    refused = run_deployment(laptop.api_url, "probe/elsewhere")
    assert refused["state"]["type"] == "FAILED"
    assert "declares environment" in refused["state"]["message"]


def test_the_example_is_run_promoted_served_replaced_and_kept(
    laptop: Any, settings: Settings, shared: Store, tmp_path: Path
) -> None:
    deploy(DIGITS, settings)
    ran = run_deployment(laptop.api_url, "digits/train")
    assert ran["state"]["type"] == "COMPLETED", ran["state"]

    trained = search_runs(
        f"flow_run_id = '{ran['id']}' and name = 'train'", order_by=["metrics.accuracy desc"], store=shared
    )
    assert len(trained) >= 4
    assert all({"loss", "accuracy"} <= set(run.metrics) for run in trained)
    best = trained[0]
    assert best.metrics["accuracy"] > 0.9
    (version,) = search_model_versions(f"run_id = '{best.id}'", name="digits", store=shared)

    told = laptop.run("models", "promote", "digits", str(version.version), "--to", "Production", "--reason", "best")
    assert told.returncode == 0, told.stderr
    endpoint = endpoint_of(shared, "digits", version=version.version, status="Ready")
    images, truth = load_digits(return_X_y=True)
    rows = (images[:50] / 16).tolist()
    reply = httpx.post(f"{endpoint.url}/invocations", json={"inputs": rows}, timeout=30)
    assert reply.status_code == 200, reply.text
    assert np.mean(np.array(reply.json()["predictions"]) == truth[:50]) > 0.9
    assert reply.headers["X-Model-Version"] == str(version.version)
    assert (reply.headers["X-Model-Name"], reply.headers["X-Run-Id"]) == ("digits", best.id)

    second = register_model("digits", f"runs:/{trained[-1].id}/model", store=shared)
    promote("digits", second.version, to="Production", store=shared)
    replaced = endpoint_of(shared, "digits", version=second.version, status="Ready")
    assert replaced.url == endpoint.url
    reply = httpx.post(f"{endpoint.url}/invocations", json={"inputs": rows[:1]}, timeout=30)
    assert reply.headers["X-Model-Version"] == str(second.version)

    bad = a_model_that_fails_where_it_is_served(shared, tmp_path)
    promote("digits", bad, to="Production", store=shared)
    kept = endpoint_of(shared, "digits", desired_version=bad, status="Degraded")
    assert kept.version == second.version
    assert "health" in kept.message.lower()
    reply = httpx.post(f"{endpoint.url}/invocations", json={"inputs": rows[:1]}, timeout=30)
    assert (reply.status_code, reply.headers["X-Model-Version"]) == (200, str(second.version))


def a_model_that_fails_where_it_is_served(shared: Store, tmp_path: Path) -> int:
    present = tmp_path / "present"
    present.touch()
    source = f"""
    def predict(rows):
        import os
        if not os.path.exists({str(present)!r}):
            raise RuntimeError("what the model needs is not here")
        return [0 for _ in rows]
    """
    namespace: dict[str, Any] = {}
    exec(textwrap.dedent(source), namespace)
    with start_run(name="bad", store=shared):
        logged = log_model(namespace["predict"], example=np.zeros((2, 64)), register_as="digits")
    present.unlink()
    assert logged.version is not None
    return logged.version
