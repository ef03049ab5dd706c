"""Sweeps on Prefect's task runners that use processes: a worker dies in the middle, and no trial is lost or doubled."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.heavy

SCRIPT = """
import json, os, signal, sys, threading, time
from contextlib import contextmanager
from pathlib import Path
from prefect_ml import current_run, get_run, log_metric, metric_history, search_runs, space, sweep
from prefect_ml.errors import PrefectMLError

FOLDER = Path(sys.argv[2])

def train(x, n, calls):
    run = current_run()
    with open(calls, "a") as file:
        file.write(f"{run.id} {run.attempt} {os.getpid()}\\n")
    for step in range(5):
        log_metric("loss", (x - 0.3) ** 2 + n + step, step=step)
        time.sleep(0.05)

def calls():
    file = FOLDER / "calls"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

def kill_a_worker(after):
    while len(calls()) < after:
        time.sleep(0.05)
    os.kill(int(calls()[-1][2]), signal.SIGKILL)

@contextmanager
def runner():
    if sys.argv[1] == "dask":
        from dask.distributed import LocalCluster
        from prefect_dask import DaskTaskRunner
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            yield DaskTaskRunner(address=cluster.scheduler_address)
    else:
        yield sys.argv[1]

if __name__ == "__main__":
    trials, parallel = int(sys.argv[3]), int(sys.argv[4])
    axes = {"x": space.uniform(0, 1), "n": range(3), "calls": [str(FOLDER / "calls")]}
    with runner() as chosen:
        threading.Thread(target=kill_a_worker, args=[trials // 2], daemon=True).start()
        result = sweep(train, axes, trials=trials, parallel=parallel, objective="loss", seed=1, task_runner=chosen)
    runs = search_runs(f"parent_id = '{result.run_id}'", limit=1000)
    attempts = [tuple(call[:2]) for call in calls()]
    print(json.dumps({
        "counts": result.counts,
        "numbers": sorted(int(run.tags["trial"]) for run in runs),
        "statuses": sorted({run.status for run in runs}),
        "again": sum(run.attempt > 1 for run in runs),
        "doubled": len(attempts) - len(set(attempts)),
        "results": sum(attempt == str(get_run(run_id).attempt) for run_id, attempt in attempts),
        "whole": all(metric_history(run.id, "loss").steps.tolist() == list(range(5)) for run in runs),
        "workers": len({call[2] for call in calls()}),
    }))
"""


@pytest.mark.parametrize(("runner", "trials"), [("dask", 40), ("processes", 12), ("ray", 12)])
def test_no_trial_is_lost_or_doubled_when_a_worker_is_killed(
    in_prefect: Callable[..., Any], tmp_path: Path, runner: str, trials: int
) -> None:
    if runner == "ray" and importlib.util.find_spec("prefect_ray") is None:
        pytest.skip("prefect-ray is not installed")
    seen = in_prefect(SCRIPT, tmp_path, runner, str(tmp_path), str(trials), "4" if runner == "dask" else "2")
    assert seen.pop("again") >= 1, "the killed worker had a trial"
    assert seen.pop("workers") >= 3, "another process has taken its place"
    assert seen == {
        "counts": {"completed": trials, "pruned": 0, "failed": 0},
        "numbers": list(range(trials)),
        "statuses": ["Completed"],
        "doubled": 0,
        "results": trials,
        "whole": True,
    }
    assert list((tmp_path / "home" / "journal").glob("*.journal")) == []
