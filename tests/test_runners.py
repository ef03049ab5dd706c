"""`.map` on every task runner: each task logs into the run of its own, each point once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.heavy

SCRIPT = """
import json, sys
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from prefect_ml import current_run, get_run, log_metric, log_param, metric_history, start_run
from prefect_ml.tasks import tracked_flow, tracked_task

@tracked_task
def train(x):
    for step in range(2000):
        log_metric("m", x, step=step)
    with start_run(name="fold"):
        log_param("x", x)
    return current_run().id

def runner():
    if sys.argv[1] == "dask":
        from prefect_dask import DaskTaskRunner
        return DaskTaskRunner(cluster_kwargs={"n_workers": 2, "threads_per_worker": 2, "dashboard_address": None})
    return {"threads": ThreadPoolTaskRunner, "processes": ProcessPoolTaskRunner}[sys.argv[1]](max_workers=3)

@tracked_flow
def sweep():
    return current_run().id, [future.result() for future in train.map(range(12))]

if __name__ == "__main__":
    flow, ids = sweep.with_options(task_runner=runner())()
    runs = [get_run(run_id) for run_id in ids]
    histories = [metric_history(run_id, "m") for run_id in ids]
    print(json.dumps({
        "distinct": len(set(ids)),
        "parents": sorted({run.parent_id for run in runs}) == [flow],
        "statuses": sorted({run.status for run in runs}),
        "params": [run.params["x"] for run in runs],
        "steps": all(history.steps.tolist() == list(range(2000)) for history in histories),
        "values": [sorted(set(history.values.tolist())) for history in histories],
    }))
"""


@pytest.mark.parametrize("runner", ["threads", "processes", "dask"])
def test_mapped_tasks_log_into_their_own_runs(in_prefect: Callable[..., Any], tmp_path: Path, runner: str) -> None:
    assert in_prefect(SCRIPT, tmp_path, runner) == {
        "distinct": 12,
        "parents": True,
        "statuses": ["Completed"],
        "params": [str(x) for x in range(12)],
        "steps": True,
        "values": [[float(x)] for x in range(12)],
    }
    assert list((tmp_path / "home" / "journal").glob("*.journal")) == []
