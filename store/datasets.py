"""Datasets that runs have used: known by name and digest, recorded once, referred to by every run."""

from __future__ import annotations

import sqlalchemy as sa

from . import schema
from .engine import Store, current_store
from .queries import get_run
from .records import RunDataset

__all__ = ["RunDataset", "run_datasets"]


def run_datasets(run_id: str, *, store: Store | None = None) -> list[RunDataset]:
    """Give the datasets that the latest attempt of a run has used, by role and name.

    Raises:
        RunNotFound: No run has this id.
    """
    store = current_store(store)
    get_run(run_id, store=store)
    used, known, runs = schema.run_datasets.c, schema.datasets.c, schema.runs.c
    query = (
        sa.select(known.name, used.role, known.digest, known.kind, known.source, known.rows, known.schema)
        .join_from(schema.run_datasets, schema.datasets)
        .join(schema.runs, sa.and_(runs.seq == used.run_seq, runs.attempt == used.attempt))
        .where(runs.id == run_id)
        .order_by(used.role, known.name)
    )
    with store.read() as connection:
        return [
            RunDataset(name, role, digest, kind, source, rows, tuple((column, type_) for column, type_ in columns))
            for name, role, digest, kind, source, rows, columns in connection.execute(query).tuples()
        ]
