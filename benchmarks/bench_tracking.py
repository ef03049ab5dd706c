"""Tracking, beside MLflow in the same run: what logging costs, and what reading costs.

Every point is in the crash-safe journal when the call returns, in the database when the run has ended, and on the disk
itself when the clock is stopped.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from children import ours, peers
from rows import Row, as_markdown


def measure() -> list[Row]:
    """Run every case, each in a process of its own."""
    return [*_writing(), *_reading()]


def _writing() -> list[Row]:
    call, peer = ours("call"), peers("call") or [None, None]
    return [
        _time("`log_metric`, what the caller waits, median", call[0], "3 µs", peer[0], "µs"),
        _time("the same, 99th percentile", call[1], "", peer[1], "µs"),
        _rate("points, one by one, until all are durable", "singles", "200,000 points/s"),
        _rate("points in arrays (MLflow: batches of 1,000)", "arrays", "1,000,000 points/s"),
        _time("a small run: 2 params, 1 point", ours("small_run"), "3 ms", peers("small_run")),
        _time("import, a new SQLite store, its first run; median of 5", _first_use(ours), "400 ms", _first_use(peers)),
    ]


def _first_use(run: Callable[[str], float | None]) -> Any:
    spent = [run("first_use") for _ in range(5)]
    return None if None in spent else statistics.median(spent)  # pyright: ignore[reportArgumentType]


def _reading() -> list[Row]:
    history, peer = ours("history"), peers("history") or {}
    search, peer_search = ours("searching"), peers("searching") or {}
    whole = peer["seconds"] * history["points"] / peer["points"] if peer else None
    page = f"first page of 100,000 runs: filter by param, metric and tag ({search['matches']:,} match), sort by metric"
    return [
        _time("history of 1 M points (MLflow: 200 k, times five)", history["seconds"], "50 ms", whole),
        _time("the same down-sampled to 1,000 points", history["sampled"], "20 ms"),
        Row("bytes per point on disk, random values", history["bytes"], "B", "16 B", peer.get("bytes")),
        _time("list 10,000 runs with 20 columns", ours("listing"), "100 ms", peers("listing")),
        _time(f"{page} (MLflow: without the param)", search["seconds"], "50 ms", peer_search.get("seconds")),
    ]


def _rate(what: str, case: str, target: str) -> Row:
    return Row(what, ours(case), "points/s", target, peers(case), more_is_better=True)


def _time(what: str, seconds: float, target: str = "", peer: float | None = None, unit: str = "ms") -> Row:
    scale = {"ms": 1e3, "µs": 1e6}[unit]
    return Row(what, seconds * scale, unit, target, None if peer is None else peer * scale)


if __name__ == "__main__":
    print(as_markdown(measure()))
