"""Which models runs have logged, where their folders lie, and whose bytes the store vouches for."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from ..errors import ArtifactError
from . import schema
from .clock import now_ms
from .engine import Store, current_store
from .upsert import upsert

__all__ = ["LoggedModelRow", "find_logged_model", "is_vouched", "logged_models", "record_logged_model"]


@dataclass(frozen=True)
class LoggedModelRow:
    """A model as a run logged it.

    Attributes:
        path: Name of the model within the run, as in `runs:/<run_id>/<path>`.
        uri: Where its folder really lies.
        digest: sha256 of its manifest.
    """

    run_id: str
    attempt: int
    path: str
    uri: str
    digest: str
    flavor: str


def record_logged_model(
    run_id: str, attempt: int, path: str, *, uri: str, digest: str, flavor: str, store: Store | None = None
) -> LoggedModelRow:
    """Record that a run logged a model; logging to the same path again replaces it."""
    row = LoggedModelRow(run_id, attempt, path, uri, digest, flavor)
    with current_store(store).write() as connection:
        upsert(
            connection,
            schema.logged_models,
            {"run_id": run_id, "attempt": attempt, "path": path},
            {"uri": uri, "digest": digest, "flavor": flavor, "created_at": now_ms()},
        )
    return row


def find_logged_model(run_id: str, path: str, *, store: Store | None = None) -> LoggedModelRow:
    """Give the model that the latest attempt of a run logged under `path`.

    Raises:
        ArtifactError: The run logged none there.
    """
    table = schema.logged_models
    query = (
        sa.select(table.c.run_id, table.c.attempt, table.c.path, table.c.uri, table.c.digest, table.c.flavor)
        .where(table.c.run_id == run_id, table.c.path == path)
        .order_by(table.c.attempt.desc())
        .limit(1)
    )
    with current_store(store).read() as connection:
        row = connection.execute(query).first()
        others = connection.execute(sa.select(table.c.path).where(table.c.run_id == run_id).distinct()).scalars()
        known = [] if row else sorted(others)
    if row is None:
        there = f"it has logged {', '.join(map(repr, known))}" if known else "log one with prefect_ml.log_model first"
        raise ArtifactError(f"Run {run_id} has logged no model {path!r}; {there}.")
    return LoggedModelRow(*row)


def logged_models(run_id: str, attempt: int, *, store: Store | None = None) -> list[LoggedModelRow]:
    """Give the models that one attempt of a run has logged, by path."""
    table = schema.logged_models
    query = (
        sa.select(table.c.run_id, table.c.attempt, table.c.path, table.c.uri, table.c.digest, table.c.flavor)
        .where(table.c.run_id == run_id, table.c.attempt == attempt)
        .order_by(table.c.path)
    )
    with current_store(store).read() as connection:
        return [LoggedModelRow(*row) for row in connection.execute(query)]


def is_vouched(digest: str, *, store: Store | None = None) -> bool:
    """Whether the store has recorded a model with these bytes."""
    logged = sa.select(schema.logged_models.c.digest).where(schema.logged_models.c.digest == digest).limit(1)
    with current_store(store).read() as connection:
        return connection.execute(logged).first() is not None
