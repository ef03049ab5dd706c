"""Reading runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import RunNotFound
from . import schema
from .engine import Store, current_store
from .filters import RUN_FIELDS, compile_filter, order_terms
from .filters.fields import run_status
from .records import Run, RunList, Source, from_ms
from .writers import flush_pending

__all__ = ["get_run", "search_runs"]

_r = schema.runs.c
_COLUMNS = [
    *[column for column in schema.runs.c if column.name != "status"],
    run_status.label("status"),
    schema.experiments.c.name.label("experiment"),
]
_RUNS = sa.select(*_COLUMNS).join_from(schema.runs, schema.experiments)


def get_run(run_id: str, *, store: Store | None = None) -> Run:
    """Give one run with its params, last metrics and tags.

    Raises:
        RunNotFound: No run has this id.
    """
    store = current_store(store)
    flush_pending(store)
    with store.read() as connection:
        found = _load(connection, _RUNS.where(_r.id == run_id))
    if not found:
        raise RunNotFound(run_id)
    return found[0]


def search_runs(
    filter: str = "",  # noqa: A002 - the contract's name
    *,
    experiments: Iterable[str] | None = None,
    order_by: Sequence[str] = (),
    limit: int = 100,
    store: Store | None = None,
) -> RunList:
    """Give the runs that a filter matches, newest first unless ordered otherwise.

    Args:
        filter: For instance `metrics.rmse < 0.8 and params.alpha >= 0.1`; the empty text means all.
        experiments: Names of experiments; None means all.
        order_by: Fields, each with an optional ` desc`; NaN and missing values sort last.
        limit: The most runs to give.
        store: Another store than the one that the settings name.

    Raises:
        FilterError: The filter or an order is wrong.
    """
    store = current_store(store)
    query = _RUNS.where(_r.deleted_at.is_(None), compile_filter(filter, RUN_FIELDS))
    if experiments is not None:
        query = query.where(schema.experiments.c.name.in_(list(experiments)))
    query = query.order_by(*order_terms(order_by, RUN_FIELDS), _r.started_at.desc(), _r.id.desc()).limit(limit)
    flush_pending(store)
    with store.read() as connection:
        return RunList(_load(connection, query))


def _load(connection: Connection, query: sa.Select[Any]) -> list[Run]:
    rows = connection.execute(query).all()
    seqs = [row.seq for row in rows]
    params = _annotations(connection, schema.params, schema.params.c.value, seqs)
    metrics = _annotations(connection, schema.series, schema.series.c.last, seqs)
    tags = _annotations(connection, schema.tags, schema.tags.c.value, seqs)
    return [
        _run(
            row, params[row.seq], {k: math.nan if v is None else v for k, v in metrics[row.seq].items()}, tags[row.seq]
        )
        for row in rows
    ]


def _annotations(
    connection: Connection, table: sa.Table, value: sa.ColumnElement[Any], seqs: list[int]
) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    query = sa.select(table.c.run_seq, schema.names.c.name, value).join_from(table, schema.names)
    if "attempt" in table.c:
        query = query.join(schema.runs, sa.and_(_r.seq == table.c.run_seq, _r.attempt == table.c.attempt))
    query = query.order_by(schema.names.c.name)
    for start in range(0, len(seqs), 500):  # databases bound the number of parameters of one statement
        for seq, name, item in connection.execute(query.where(table.c.run_seq.in_(seqs[start : start + 500]))):
            found[seq][name] = item
    return found


def _run(row: Any, params: dict[str, str], metrics: dict[str, float], tags: dict[str, str]) -> Run:
    return Run(
        id=row.id,
        name=row.name,
        experiment=row.experiment,
        status=row.status,
        attempt=row.attempt,
        parent_id=row.parent_id,
        params=params,
        metrics=metrics,
        tags=tags,
        user=row.user,
        started_at=from_ms(row.started_at),
        ended_at=None if row.ended_at is None else from_ms(row.ended_at),
        artifact_uri=row.artifact_uri,
        source=Source(**row.source),
        flow_run_id=row.flow_run_id,
        task_run_id=row.task_run_id,
    )
