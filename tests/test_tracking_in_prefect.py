"""Tracking inside Prefect: one script, run by a real Prefect against a real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

SCRIPT = """
import asyncio, json, sys
from prefect import flow, task
from prefect.flows import Flow
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task
from prefect_ml import current_run, get_run, log_metric, log_params, metric_history, search_runs, start_run, track
from prefect_ml.store import as_json
from prefect_ml.tasks import tracked_flow, tracked_task

out, failures = {}, []

@tracked_task(retries=1, experiment="retries")
def flaky(alpha: float):
    failures.append(alpha)
    for step in range(3):
        log_metric("loss", alpha + 10 * len(failures), step=step)
    log_params({"try": len(failures)})
    if len(failures) == 1:
        raise ValueError("the first time fails")
    return current_run().id

@track
@task
def above(x: int):
    log_metric("m", x)
    return current_run().id

@task
def bare(x):
    log_metric("m", x)
    with start_run(name="inner"):
        log_metric("q", 1)
    log_metric("m", x + 1)
    return current_run().id

@tracked_task
async def asynchronous(x: int):
    await asyncio.sleep(0)
    log_metric("m", x)
    return current_run().id

@tracked_task
def fails():
    raise RuntimeError("no")

@tracked_flow(experiment="pipeline", task_runner=ThreadPoolTaskRunner(max_workers=3))
def pipeline(n: int = 2):
    ids = {"flaky": flaky(1.0), "above": above(3)}
    ids["threads"] = [f.result() for f in above.map(range(n))]
    fails(return_state=True)
    ids["flow"] = current_run().id
    return ids

@flow
def untracked():
    inner = bare(5)
    log_metric("direct", 2)
    return inner

@tracked_flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def pooled():
    return [f.result() for f in above.map([5, 6])]

@tracked_flow
async def asynchronous_flow():
    return [await asynchronous(1), current_run().id]

if __name__ == "__main__":
    out["kinds"] = [isinstance(flaky, Task), isinstance(above, Task), isinstance(pipeline, Flow)]
    ids = pipeline()
    out["ids"] = ids
    out["attempts"] = [
        metric_history(ids["flaky"], "loss", attempt=n).values.tolist() for n in (1, 2)
    ]
    out["untracked"] = untracked()
    out["pooled"] = pooled()
    out["asynchronous"] = asyncio.run(asynchronous_flow())
    out["runs"] = {run.id: as_json(run) for run in search_runs(limit=1000)}
    print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the script ran."""
    return tmp_path_factory.mktemp("tracked")


@pytest.fixture(scope="module")
def seen(in_prefect: Callable[..., Any], folder: Path) -> dict[str, Any]:
    """What the script saw."""
    return in_prefect(SCRIPT, folder)


def test_decorated_things_keep_their_kind(seen: dict[str, Any]) -> None:
    assert seen["kinds"] == [True, True, True]


def test_the_run_id_is_prefects_own(seen: dict[str, Any]) -> None:
    run = seen["runs"][seen["ids"]["above"]]
    assert run["task_run_id"] == run["id"]
    flow_run = seen["runs"][seen["ids"]["flow"]]
    assert flow_run["flow_run_id"] == flow_run["id"]
    assert run["parent_id"] == flow_run["id"]
    assert run["experiment"] == "pipeline"
    assert flow_run["params"] == {"n": "2"}


def test_a_retry_is_another_attempt_of_the_same_run(seen: dict[str, Any]) -> None:
    run = seen["runs"][seen["ids"]["flaky"]]
    assert (run["attempt"], run["status"], run["experiment"]) == (2, "Completed", "retries")
    assert run["params"] == {"alpha": "1.0", "try": "2"}
    assert run["metrics"] == {"loss": 21.0}
    assert seen["attempts"] == [[11.0] * 3, [21.0] * 3], "the attempts' series are not mixed"
    assert sum(other["name"] == "flaky" for other in seen["runs"].values()) == 1


def test_mapped_tasks_log_into_their_own_runs(seen: dict[str, Any]) -> None:
    assert [seen["runs"][i]["metrics"] for i in seen["ids"]["threads"]] == [{"m": 0.0}, {"m": 1.0}]
    pooled = [seen["runs"][i] for i in seen["pooled"]]
    assert [run["metrics"] for run in pooled] == [{"m": 5.0}, {"m": 6.0}]
    assert all(run["parent_id"] == run["flow_run_id"] for run in pooled)


def test_a_failed_task_is_a_failed_run(seen: dict[str, Any]) -> None:
    assert [run["status"] for run in seen["runs"].values() if run["name"] == "fails"] == ["Failed"]


def test_logging_without_a_scope_opens_the_run_of_the_task_or_flow(seen: dict[str, Any]) -> None:
    run = seen["runs"][seen["untracked"]]
    assert (run["status"], run["metrics"], run["task_run_id"]) == ("Completed", {"m": 6.0}, run["id"])
    (inner,) = [other for other in seen["runs"].values() if other["name"] == "inner"]
    assert (inner["parent_id"], inner["status"]) == (run["id"], "Completed")
    (direct,) = [other for other in seen["runs"].values() if "direct" in other["metrics"]]
    assert (direct["status"], direct["flow_run_id"]) == ("Completed", direct["id"])


def test_asynchronous_tasks_and_flows(seen: dict[str, Any]) -> None:
    task_id, flow_id = seen["asynchronous"]
    assert seen["runs"][task_id]["parent_id"] == flow_id
    assert seen["runs"][task_id]["metrics"] == {"m": 1.0}
    assert seen["runs"][flow_id]["status"] == "Completed"


def test_each_run_leaves_a_report_with_prefect(laptop: Any, seen: dict[str, Any]) -> None:
    body = {"artifacts": {"flow_run_id": {"any_": [seen["ids"]["flow"]]}}}
    reports = httpx.post(f"{laptop.api_url}/artifacts/filter", json=body, timeout=30).json()
    by_task = {report["task_run_id"]: report for report in reports}
    assert seen["ids"]["above"] in by_task
    assert "image/svg+xml" in by_task[seen["ids"]["above"]]["data"]
    assert None in by_task, "the flow's own report"


def test_no_journal_is_left(seen: dict[str, Any], folder: Path) -> None:
    assert list((folder / "home" / "journal").glob("*.journal")) == []


def test_the_default_block_names_the_store_where_nothing_else_does(laptop: Any, tmp_path: Path) -> None:
    code = (
        "import prefect, prefect_ml\nwith prefect_ml.start_run(name='through the block') as run: print(run.store.url)"
    )
    environment = {
        **laptop.environ,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_ML_HOME": str(tmp_path / "home"),
    }

    def run(api: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, "PREFECT_API_URL": api},
            capture_output=True,
            text=True,
            check=False,
        )

    assert run(laptop.api_url).stdout.strip() == f"sqlite:///{laptop.home / 'store.db'}"
    away = run("http://127.0.0.1:9/api")
    assert "SettingsError" in away.stderr
    assert "PREFECT_ML_STORE_URL" in away.stderr
