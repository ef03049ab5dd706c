"""The cases of the tracking benchmark, with prefect-ml: `python tracking_ours.py CASE` prints what it measured."""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import time
from pathlib import Path

clock = time.perf_counter


def first_use() -> float:
    """Seconds from before the import until the first run with a param and a point has ended, in a new store."""
    begun = clock()
    from prefect_ml import log_metric, log_param, start_run

    with start_run():
        log_param("alpha", 0.5)
        log_metric("loss", 0.5)
    return clock() - begun


def call() -> list[float]:
    """Median and 99th percentile of what one `log_metric` costs its caller, in seconds."""
    from prefect_ml import log_metric, start_run

    first_use()
    times: list[int] = []
    with start_run():
        for step in range(200_000):
            before = time.perf_counter_ns()
            log_metric("loss", step * 0.5, step=step)
            times.append(time.perf_counter_ns() - before)
    times.sort()
    return [times[len(times) // 2] / 1e9, times[len(times) * 99 // 100] / 1e9]


def singles() -> float:
    """Points a second, one by one, until all are durable."""
    from prefect_ml import log_metric, metric_history, start_run
    from prefect_ml.store import current_store

    first_use()
    count = 1_000_000
    begun = clock()
    with start_run() as run:
        for step in range(count):
            log_metric("loss", step * 0.5, step=step)
    current_store().sync()
    spent = clock() - begun
    assert len(metric_history(run.id, "loss")) == count
    return count / spent


def arrays() -> float:
    """Points a second in arrays of 10,000, until all are durable."""
    import numpy as np

    from prefect_ml import log_series, metric_history, start_run
    from prefect_ml.store import current_store

    first_use()
    values = np.random.default_rng(0).random(4_000_000)
    begun = clock()
    with start_run() as run:
        for start in range(0, len(values), 10_000):
            log_series("loss", values[start : start + 10_000])
    current_store().sync()
    spent = clock() - begun
    assert len(metric_history(run.id, "loss")) == len(values)
    return len(values) / spent


def small_run() -> float:
    """Seconds that a run with two params and one point takes, median."""
    from prefect_ml import log_metric, log_params, start_run

    first_use()
    times: list[float] = []
    for _ in range(200):
        begun = clock()
        with start_run():
            log_params({"alpha": 0.5, "depth": 3})
            log_metric("loss", 0.5)
        times.append(clock() - begun)
    return statistics.median(times)


def history() -> dict[str, float]:
    """Reading a million points; and what they take on disk, logged one by one with random values."""
    from prefect_ml import log_metric, metric_history, start_run

    first_use()
    count = 1_000_000
    before = _size_of_store()
    draw = random.Random(0).random
    with start_run() as run:
        for step in range(count):
            log_metric("loss", draw(), step=step)
    size = _size_of_store() - before
    whole, sampled = [], []
    for _ in range(7):
        begun = clock()
        assert len(metric_history(run.id, "loss")) == count
        whole.append(clock() - begun)
        begun = clock()
        assert metric_history(run.id, "loss", max_points=1000).sampled
        sampled.append(clock() - begun)
    return {
        "seconds": statistics.median(whole),
        "sampled": statistics.median(sampled),
        "points": count,
        "bytes": size / count,
    }


def listing() -> float:
    """Seconds that the listing of 10,000 runs with 20 columns takes, median."""
    from make_runs import make_runs

    from prefect_ml import search_runs
    from prefect_ml.store import current_store

    make_runs(current_store(), 10_000, params=7, metrics=7, tags=2)  # and id, name, status, start
    return _median(lambda: search_runs(limit=10_000), 9)


def searching() -> dict[str, float]:
    """Seconds that the first page of a filtered and sorted search over 100,000 runs takes, median."""
    from make_runs import make_runs

    from prefect_ml import count_runs, search_runs
    from prefect_ml.store import current_store

    make_runs(current_store(), 100_000)
    query = "metrics.m0 < 0.5 and params.p0 > 0.25 and tags.t0 = 'red'"
    return {
        "seconds": _median(lambda: search_runs(query, order_by=["metrics.m0"], limit=100), 15),
        "matches": count_runs(query),
    }


def _median(call: object, times: int) -> float:
    spent: list[float] = []
    for _ in range(times + 1):
        begun = clock()
        assert call()  # pyright: ignore[reportCallIssue]
        spent.append(clock() - begun)
    return statistics.median(spent[1:])


def _size_of_store() -> int:
    """Bytes of the database file once SQLite has moved all into it."""
    import sqlalchemy as sa

    from prefect_ml.store import current_store

    store = current_store()
    with store.engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute(sa.text("SELECT 1"))
    return (Path(os.environ["PREFECT_ML_HOME"]) / "store.db").stat().st_size


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
