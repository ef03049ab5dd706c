"""Reading which runs were reused: results that Prefect took from its cache."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from . import schema
from .engine import Store, current_store
from .records import from_ms
from .writers import flush_pending

__all__ = ["ReusedRun", "producer_of", "reused_runs"]


@dataclass(frozen=True)
class ReusedRun:
    """A result that a flow did not have made again.

    Attributes:
        run_id: The run that produced it.
        task_run_id: The Prefect task run that ended as Cached.
        name: Name of that task run.
        at: When it was reused.
    """

    run_id: str
    task_run_id: str
    name: str
    at: datetime


def reused_runs(run_id: str, *, store: Store | None = None) -> list[ReusedRun]:
    """Give the runs whose results were reused directly below a run, first come first."""
    store = current_store(store)
    flush_pending(store)
    table = schema.reuses.c
    query = sa.select(table.run_id, table.task_run_id, table.name, table.at).where(table.parent_id == run_id)
    with store.read() as connection:
        rows = connection.execute(query.order_by(table.at, table.task_run_id)).all()
    return [ReusedRun(row.run_id, row.task_run_id, row.name, from_ms(row.at)) for row in rows]


def producer_of(key: str, *, store: Store | None = None) -> str | None:
    """Give the id of the run whose result is kept under a key, if it has completed and is not deleted."""
    store = current_store(store)
    flush_pending(store)
    kept, runs = schema.results.c, schema.runs.c
    query = sa.select(kept.run_id).join_from(schema.results, schema.runs, runs.id == kept.run_id)
    query = query.where(kept.key == key, runs.status == "Completed", runs.deleted_at.is_(None))
    with store.read() as connection:
        return connection.execute(query).scalar()
