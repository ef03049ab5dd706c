"""The software that runs ran with: kept once per digest, however many runs share it."""

from __future__ import annotations

import sqlalchemy as sa

from . import schema
from .engine import Store, current_store
from .queries import get_run
from .records import RunEnvironment

__all__ = ["RunEnvironment", "run_environment"]


def run_environment(run_id: str, *, store: Store | None = None) -> RunEnvironment | None:
    """Give the software that a run ran with, or None where that is not known.

    Raises:
        RunNotFound: No run has this id.
    """
    store = current_store(store)
    get_run(run_id, store=store)
    table = schema.environments.c
    query = (
        sa.select(table.digest, table.python, table.platform, table.packages)
        .join_from(schema.runs, schema.environments)
        .where(schema.runs.c.id == run_id)
    )
    with store.read() as connection:
        row = connection.execute(query).first()
    return RunEnvironment(*row) if row else None
