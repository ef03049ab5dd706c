"""The cases of the tracking benchmark, with MLflow: runs in an environment of its own, which holds nothing of ours."""

from __future__ import annotations

import json
import logging
import os
import random
import sqlite3
import statistics
import sys
import time
import uuid

clock = time.perf_counter


def first_use() -> float:
    begun = clock()
    import mlflow

    with mlflow.start_run():
        mlflow.log_param("alpha", 0.5)
        mlflow.log_metric("loss", 0.5)
    return clock() - begun


def call() -> list[float]:
    import mlflow

    first_use()
    times: list[int] = []
    with mlflow.start_run():
        for step in range(300):
            before = time.perf_counter_ns()
            mlflow.log_metric("loss", step * 0.5, step=step)
            times.append(time.perf_counter_ns() - before)
    times.sort()
    return [times[len(times) // 2] / 1e9, times[len(times) * 99 // 100] / 1e9]


def singles() -> float:
    import mlflow

    first_use()
    begun = clock()
    with mlflow.start_run():
        for step in range(300):
            mlflow.log_metric("loss", step * 0.5, step=step)
    return 300 / (clock() - begun)


def arrays() -> float:
    import mlflow
    from mlflow.entities import Metric

    first_use()
    client = mlflow.MlflowClient()
    begun = clock()
    with mlflow.start_run() as run:
        for start in range(0, 20_000, 1000):
            points = [Metric("loss", step * 0.5, 0, step) for step in range(start, start + 1000)]
            client.log_batch(run.info.run_id, metrics=points)
    return 20_000 / (clock() - begun)


def small_run() -> float:
    import mlflow

    first_use()
    times: list[float] = []
    for _ in range(30):
        begun = clock()
        with mlflow.start_run():
            mlflow.log_params({"alpha": 0.5, "depth": 3})
            mlflow.log_metric("loss", 0.5)
        times.append(clock() - begun)
    return statistics.median(times)


def history() -> dict[str, float]:
    """As many points as can be waited for: 200,000, put there by SQL, read through the client."""
    import mlflow

    first_use()
    count = 200_000
    with mlflow.start_run() as run:
        pass
    before = os.path.getsize(_file())
    draw = random.Random(0).random
    rows = [("loss", draw(), 1_700_000_000_000 + step, run.info.run_id, step, 0) for step in range(count)]
    with sqlite3.connect(_file()) as database:
        database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", rows)
    size = os.path.getsize(_file()) - before
    begun = clock()
    assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")) == count
    return {"seconds": clock() - begun, "points": count, "bytes": size / count}


def listing() -> float:
    import mlflow

    first_use()
    _make_runs(10_000, params=7, metrics=7, tags=2)
    return _median(lambda: mlflow.search_runs(["0"], max_results=10_000, output_format="list"), 1)


def searching() -> dict[str, float]:
    """MLflow compares params as text only, so that condition is left out for it."""
    import mlflow

    first_use()
    _make_runs(100_000, params=5, metrics=5, tags=3)
    query = "metrics.m0 < 0.5 and tags.t0 = 'red'"
    search = lambda: mlflow.search_runs(  # noqa: E731
        ["0"], query, max_results=100, order_by=["metrics.m0"], output_format="list"
    )
    return {"seconds": _median(search, 1)}


def _make_runs(count: int, *, params: int, metrics: int, tags: int) -> None:
    draw = random.Random(0).random
    with sqlite3.connect(_file()) as database:
        for ordinal in range(count):
            run = uuid.UUID(int=random.Random(ordinal).getrandbits(128)).hex
            at = 1_700_000_000_000 + ordinal
            known = (
                run,
                f"run-{ordinal}",
                "LOCAL",
                "",
                "",
                "me",
                "FINISHED",
                at,
                at + 1000,
                "",
                "active",
                "/tmp",
                0,
                None,
            )
            database.execute(f"INSERT INTO runs VALUES ({','.join('?' * 14)})", known)
            database.executemany(
                "INSERT INTO params VALUES (?, ?, ?)", [(f"p{i}", str(draw()), run) for i in range(params)]
            )
            last = [(f"m{i}", draw(), at, 0, 0, run) for i in range(metrics)]
            database.executemany("INSERT INTO latest_metrics VALUES (?, ?, ?, ?, ?, ?)", last)
            marks = [(f"t{i}", ("red", "green", "blue")[int(3 * draw())], run) for i in range(tags)]
            database.executemany("INSERT INTO tags VALUES (?, ?, ?)", marks)


def _median(call: object, times: int) -> float:
    spent: list[float] = []
    for _ in range(times):
        begun = clock()
        assert call()
        spent.append(clock() - begun)
    return statistics.median(spent)


def _file() -> str:
    return os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    print(json.dumps(globals()[sys.argv[1]]()))
