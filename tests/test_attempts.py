"""Attempts and reuse, as Prefect makes them: retries of tasks and flows, and results from the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

SCRIPT = """
import asyncio, json, sys, time
from prefect import flow, task
from prefect.cache_policies import INPUTS, CacheKeyFnPolicy
from prefect_ml import (
    current_run, get_run, log_metric, log_param, log_params, metric_history, search_runs, start_run, track
)
from prefect_ml.store import as_json, open_store
from prefect_ml.store.reuses import reused_runs
from prefect_ml.tasks import tracked_flow, tracked_task

tries = {"task": 0, "flow": 0}
ids = []

@tracked_task(retries=2, experiment="attempts")
def twice(alpha: float):
    tries["task"] += 1
    log_params({"try": tries["task"], f"only {tries['task']}": "yes"})
    for step in range(5 * tries["task"]):
        log_metric("loss", tries["task"] * 100 + step)
    with start_run(name="fold"):
        log_param("try", tries["task"])
    if tries["task"] < 3:
        raise ValueError(f"try {tries['task']}")
    return current_run().id

@tracked_task(timeout_seconds=0.5)
def endless():
    ids.append(current_run().id)
    time.sleep(30)

@tracked_task(timeout_seconds=0.5)
async def endless_coroutine():
    ids.append(current_run().id)
    await asyncio.sleep(30)

@tracked_flow
async def impatient():
    endless(return_state=True)
    await endless_coroutine(return_state=True)

@tracked_task(cache_policy=INPUTS, persist_result=True)
def prepare(rows: int):
    log_metric("rows", rows)
    with start_run(name="part"):
        pass
    return current_run().id

@track
@task(cache_policy=CacheKeyFnPolicy(cache_key_fn=lambda context, arguments: f"data-{arguments['name']}-{sys.argv[1]}"))
async def download(name: str):
    log_param("name", name)
    return current_run().id

@tracked_task
def train(rows):
    log_metric("rows", 2)
    return current_run().id

@tracked_flow(retries=1, experiment="attempts")
def restless():
    tries["flow"] += 1
    log_param("try", tries["flow"])
    log_metric("m", tries["flow"])
    prepared = prepare(7)
    trained = train(7)
    if tries["flow"] == 1:
        out["first"] = [prepared, trained]
        raise ValueError("once more")
    return current_run().id, prepared, trained

@tracked_flow(experiment="reuse")
async def pipeline():
    prepared = prepare(3)
    downloaded = await download("wine")
    return [current_run().id, prepared, downloaded, train(3)]

@task
async def side_by_side():
    @track
    async def train(index):
        for step in range(10):
            log_metric("m", index, step=step)
            await asyncio.sleep(0)
        return current_run().id

    return await asyncio.gather(train(0), train(1), train(2))

@flow
async def concurrent():
    return await side_by_side()

if __name__ == "__main__":
    out = {}
    if sys.argv[2] == "attempts":
        @tracked_flow
        def calling():
            return twice(1.0)

        out["task"] = calling()
        out["histories"] = [metric_history(out["task"], "loss", attempt=n).values.tolist() for n in (1, 2, 3)]
        out["earlier"] = [as_json(get_run(out["task"], attempt=n)) for n in (1, 2, 3)]
        out["flow"] = restless()
        asyncio.run(impatient())
        out["endless"] = ids
        out["reused"] = [as_json(reused) for reused in reused_runs(out["flow"][0])]
        with open_store().read() as connection:
            out["superseded"] = list(connection.exec_driver_sql("SELECT id FROM runs WHERE superseded").scalars())
        out["beside"] = asyncio.run(concurrent())
        out["beside histories"] = [metric_history(run, "m").values.tolist() for run in out["beside"]]
    else:
        out["pipeline"] = asyncio.run(pipeline())
        out["reused"] = [as_json(reused) for reused in reused_runs(out["pipeline"][0])]
    out["runs"] = {run.id: as_json(run) for run in search_runs(limit=1000)}
    print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def execute(
    in_prefect: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """Run a part of the script in a home of this module."""
    folder = tmp_path_factory.mktemp("attempts")
    return lambda part: in_prefect(SCRIPT, folder, folder.name, part)


@pytest.fixture(scope="module")
def attempts(execute: Callable[[str], Any]) -> dict[str, Any]:
    return execute("attempts")


def test_each_try_of_a_task_is_an_attempt_of_one_run(attempts: dict[str, Any]) -> None:
    run = attempts["runs"][attempts["task"]]
    assert (run["attempt"], run["status"]) == (3, "Completed")
    assert run["params"] == {"alpha": "1.0", "try": "3", "only 3": "yes"}
    assert run["metrics"] == {"loss": 314.0}
    assert attempts["histories"] == [[n * 100.0 + step for step in range(5 * n)] for n in (1, 2, 3)]
    assert [earlier["params"]["try"] for earlier in attempts["earlier"]] == ["1", "2", "3"]
    assert [earlier["metrics"]["loss"] for earlier in attempts["earlier"]] == [104.0, 209.0, 314.0]
    assert [earlier["status"] for earlier in attempts["earlier"]] == ["Failed", "Failed", "Completed"]
    assert [earlier["artifact_uri"][-2:] for earlier in attempts["earlier"]] == ["/1", "/2", "/3"]
    folds = [fold for fold in attempts["runs"].values() if fold["parent_id"] == run["id"]]
    assert [(fold["attempt"], fold["params"]) for fold in folds] == [(3, {"try": "3"})]


def test_a_flow_that_is_tried_again_keeps_its_run_and_reuses_what_is_done(attempts: dict[str, Any]) -> None:
    flow, prepared, trained = attempts["flow"]
    first_prepared, first_trained = attempts["first"]
    run = attempts["runs"][flow]
    assert (run["attempt"], run["status"]) == (2, "Completed")
    assert (run["params"], run["metrics"]) == ({"try": "2"}, {"m": 2.0})
    assert prepared == first_prepared, "Prefect had it in its cache"
    assert trained != first_trained
    assert [reused["run_id"] for reused in attempts["reused"]] == [prepared]
    assert attempts["superseded"] == [first_trained], "what was reused belongs to the new attempt, too"


def test_a_task_whose_time_is_up_has_failed(attempts: dict[str, Any]) -> None:
    assert [attempts["runs"][run_id]["status"] for run_id in attempts["endless"]] == ["Failed", "Failed"]


def test_scopes_beside_each_other_in_a_task_are_runs_of_their_own(attempts: dict[str, Any]) -> None:
    assert len(set(attempts["beside"])) == 3
    assert attempts["beside histories"] == [[float(index)] * 10 for index in range(3)]


def test_a_result_from_the_cache_is_shown_with_the_run_that_produced_it(execute: Callable[[str], Any]) -> None:
    first = execute("reuse")
    again = execute("reuse")
    flow, prepared, downloaded, trained = first["pipeline"]
    assert first["reused"] == []
    assert again["pipeline"][1:3] == [prepared, downloaded]
    assert again["pipeline"][3] != trained
    reused = {entry["run_id"]: entry for entry in again["reused"]}
    assert list(reused) == [prepared, downloaded]
    assert reused[prepared]["name"].startswith("prepare")
    assert reused[prepared]["task_run_id"] != prepared
    assert again["runs"][prepared]["parent_id"] == flow, "it stays where it was made"
