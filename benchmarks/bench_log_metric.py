"""What `log_metric` costs the training loop that calls it, and how many points a second reach the store.

Each case runs in a process of its own, with a fresh home and SQLite on the local disk. Every point is in the
crash-safe journal when the call returns, and in the database when the run has ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from rows import Row, as_markdown

_POINTS = 200_000
_CHILD = f"""
import json, time
from prefect_ml import log_metric, log_metrics, metric_history, start_run

def median_and_tail(times):
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]

with start_run(name="warm") as run:
    log_metric("loss", 0.0, step=0)

calls = []
wall, processor = time.perf_counter(), time.process_time()
with start_run(name="single") as run:
    for step in range({_POINTS}):
        before = time.perf_counter_ns()
        log_metric("loss", step * 0.5, step=step)
        calls.append(time.perf_counter_ns() - before)
wall, processor = time.perf_counter() - wall, time.process_time() - processor
assert len(metric_history(run.id, "loss")) == {_POINTS}

names = [f"m{{i}}" for i in range(10)]
many = time.perf_counter()
with start_run(name="ten at once") as run:
    for step in range({_POINTS} // 10):
        log_metrics(dict.fromkeys(names, step * 0.5), step=step)
many = time.perf_counter() - many
assert len(metric_history(run.id, "m9")) == {_POINTS} // 10

before = time.perf_counter()
for ordinal in range(20):
    with start_run(name="empty"):
        pass
empty = (time.perf_counter() - before) / 20
print(json.dumps([*median_and_tail(calls), wall, processor, many, empty]))
"""


def measure() -> list[Row]:
    """Log 200,000 points one by one, then as many ten at a time."""
    median, tail, wall, processor, many, empty = _run_child()
    return [
        Row("`log_metric`, what the caller waits, median", median / 1000, "µs"),
        Row("`log_metric`, what the caller waits, 99th percentile", tail / 1000, "µs"),
        Row("`log_metric` one by one, until all are in the database", _POINTS / wall, "points/s"),
        Row("processor time per point, background writer included", processor / _POINTS * 1e6, "µs"),
        Row("`log_metrics` of ten at once, until all are in the database", _POINTS / many, "points/s"),
        Row("a run that logs nothing, opened and closed", empty * 1000, "ms"),
    ]


def _run_child() -> list[float]:
    with tempfile.TemporaryDirectory() as home:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        environ = {**inherited, "PREFECT_ML_HOME": home}
        command = [sys.executable, "-c", _CHILD]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=home, env=environ)
    return json.loads(child.stdout)


if __name__ == "__main__":
    print(as_markdown(measure()))
