"""Copying the registry of models: whole histories, and never two different ones under one name."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import StoreError
from . import schema
from .copying_artifacts import ArtifactCopy
from .engine import Store
from .upsert import insert_all_new

__all__ = ["check_models", "compare_models", "copy_models"]

_events = schema.model_events
_versions = schema.model_versions
_POINTERS = (schema.stage_holders, schema.model_aliases)
_NAMED = (schema.registered_models, _versions, _events, *_POINTERS, schema.bentos)


def check_models(source: Connection, there: Connection) -> None:
    """See that the target has of each model what the source has, or less.

    Raises:
        StoreError: Both have gone on by themselves.
    """
    mine, theirs = (_history(connection) for connection in (source, there))
    for name in mine.keys() & theirs.keys():
        if not theirs[name] <= mine[name]:
            raise StoreError(
                f"Both stores have a model {name!r}, and each has a history of its own;"
                " rename or delete one of them, then copy again."
            )


def copy_models(source: Connection, target: Store, carrier: ArtifactCopy | None) -> None:
    """Bring over every model with its versions, events, stages, aliases and Bentos."""
    found = {table: _rows(source, table) for table in _NAMED}
    if carrier:
        uris = [row["uri"] for table in (_versions, schema.bentos) for row in found[table]]
        carrier.copy(uris)
        for table in (_versions, schema.bentos):
            found[table] = [{**row, "uri": carrier.moved(row["uri"])} for row in found[table]]
    with target.write() as there:
        names = [row["name"] for row in found[schema.registered_models]]
        for table in _POINTERS:
            there.execute(sa.delete(table).where(table.c.name.in_(names)))
        for table, rows in found.items():
            if rows:
                insert_all_new(there, table, rows)
        for row in found[schema.registered_models]:
            table = schema.registered_models
            there.execute(sa.update(table).where(table.c.name == row["name"]).values(versions=row["versions"]))
        events = [{name: value for name, value in row.items() if name != "seq"} for row in _rows(source, schema.outbox)]
        if events:
            insert_all_new(there, schema.outbox, events)


def compare_models(source: Connection, there: Connection) -> dict[str, int]:
    """Count the rows of the models of the source on both sides.

    Raises:
        StoreError: They are not the same.
    """
    names = source.execute(sa.select(schema.registered_models.c.name)).scalars().all()
    counts: dict[str, int] = {}
    for table in _NAMED:
        query = sa.select(sa.func.count()).select_from(table).where(table.c.name.in_(names))
        mine, theirs = (int(connection.execute(query).scalar_one()) for connection in (source, there))
        if mine != theirs:
            raise StoreError(
                f"The copy has {theirs:,} rows of {table.name} for models that have {mine:,} in the source;"
                " copy again when nobody changes them."
            )
        counts[table.name] = mine
    return counts


def _history(connection: Connection) -> dict[str, set[Any]]:
    """Give the events and versions of each model."""
    found: dict[str, set[Any]] = {}
    for name, event in connection.execute(sa.select(_events.c.name, _events.c.id)):
        found.setdefault(name, set()).add(event)
    columns = (_versions.c.version, _versions.c.digest, _versions.c.run_id)
    for name, *version in connection.execute(sa.select(_versions.c.name, *columns)):
        found.setdefault(name, set()).add(tuple(version))
    return found


def _rows(source: Connection, table: sa.Table) -> list[dict[str, Any]]:
    return [dict(row) for row in source.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings()]
