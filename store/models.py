"""Which models runs have logged, where their folders lie, and whose bytes the store vouches for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import ArtifactError
from . import schema
from .clock import now_ms
from .engine import Store, current_store
from .upsert import upsert

__all__ = [
    "DOOMED",
    "LoggedModelRow",
    "find_logged_model",
    "is_vouched",
    "logged_models",
    "record_logged_model",
    "same_models",
    "share_logged_model",
]

DOOMED = 1
"""When a run was deleted that is being removed for good: nobody restores it, or shares its models, meanwhile."""

_m = schema.logged_models.c


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


def record_logged_model(  # noqa: PLR0913 - it is a row
    run_id: str,
    attempt: int,
    path: str,
    *,
    uri: str,
    digest: str,
    flavor: str,
    payload: str | None = None,
    damaged: Collection[str] = (),
    store: Store | None = None,
) -> LoggedModelRow:
    """Record that a run logged a model; logging to the same path again replaces it.

    Args:
        run_id: The run.
        attempt: Its attempt.
        path: Name of the model within the run.
        uri: Where its folder lies.
        digest: sha256 of its manifest.
        flavor: What saved it.
        payload: sha256 of all that it is but for who logged it when; where another model has the same, its folder is
            recorded in place of this one, which nobody needs then.
        damaged: Folders not to be recorded in its place.
        store: Another store than the one that the settings name.
    """
    store = current_store(store)
    with store.write() as connection:
        same = _living(connection, payload, store, damaged) if payload else None
        row = LoggedModelRow(run_id, attempt, path, same.uri if same else uri, same.digest if same else digest, flavor)
        _write(connection, row, payload)
    return row


def share_logged_model(
    row: LoggedModelRow, payload: str, *, damaged: Collection[str] = (), store: Store | None = None
) -> LoggedModelRow | None:
    """Record as `record_logged_model` does, but only where the folder of another model can be recorded."""
    store = current_store(store)
    with store.write() as connection:
        same = _living(connection, payload, store, damaged)
        if same is None:
            return None
        row = replace(row, uri=same.uri, digest=same.digest)
        _write(connection, row, payload)
    return row


def same_models(payload: str, *, store: Store | None = None) -> list[tuple[str, str]]:
    """Give the folder and digest of each logged model that is the same but for who logged it when, newest first."""
    store = current_store(store)
    with store.read() as connection:
        return list(dict.fromkeys((row.uri, row.digest) for row in connection.execute(_same(payload, store))))


def _same(payload: str, store: Store) -> sa.Select[tuple[str, str]]:
    """Find models of runs that are not being removed, in folders that are the store's own."""
    root = store.settings.artifact_root.rstrip("/") + "/"
    return (
        sa.select(_m.uri, _m.digest)
        .join_from(schema.logged_models, schema.runs, schema.runs.c.id == _m.run_id)
        .where(
            _m.payload == payload,
            _m.uri.startswith(root, autoescape=True),
            schema.runs.c.deleted_at.is_distinct_from(DOOMED),
        )
        .order_by(_m.created_at.desc(), _m.uri)
    )


def _living(connection: Connection, payload: str, store: Store, damaged: Collection[str]) -> Any:
    """Give a folder to record, which nobody removes before the caller's transaction has ended."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        number = int.from_bytes(bytes.fromhex(payload)[:8], signed=True)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
    query = _same(payload, store).where(_m.uri.not_in(damaged)).limit(1)
    return connection.execute(query.with_for_update(read=True, of=schema.runs)).first()


def _write(connection: Connection, row: LoggedModelRow, payload: str | None) -> None:
    upsert(
        connection,
        schema.logged_models,
        {"run_id": row.run_id, "attempt": row.attempt, "path": row.path},
        {"uri": row.uri, "digest": row.digest, "flavor": row.flavor, "created_at": now_ms(), "payload": payload},
    )


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
