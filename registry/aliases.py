"""Aliases: names of a team's own that lead to versions, each to one."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import BadReference, VersionNotFound
from ..store import Store, current_store, schema
from ..store.upsert import upsert
from .events import Change, append_event, read_event
from .records import ModelEvent
from .stages import lock_model
from .versions import check_version, get_model, what_exists

__all__ = ["delete_alias", "set_alias"]

_a = schema.model_aliases.c
_NAME = re.compile(r"[^\W\d][\w.-]{0,99}")


def set_alias(name: str, alias: str, version: int, *, reason: str = "", store: Store | None = None) -> ModelEvent:
    """Let an alias lead to a version, in one transaction with its event; it leads to no other any more.

    An alias that leads there already stays as it is, and the event that made it so is given.

    Args:
        name: Name of the model.
        alias: The alias; `models:/<name>@<alias>` is what it leads to.
        version: Number of the version.
        reason: Why, in the words of whoever decides.
        store: Another store than the one that the settings name.

    Raises:
        BadReference: The alias cannot be one.
        ModelNotFound, VersionNotFound: There is no such thing.
    """
    store = current_store(store)
    alias = _checked(alias)
    get_model(name, store=store)
    with store.write() as connection:
        lock_model(connection, name)
        check_version(connection, name, version)
        before = _row(connection, name, alias)
        if before and before.version == version:
            return read_event(connection, before.event_id)
        evidence = {"alias": alias, "previous": before.version if before else None}
        event = append_event(connection, Change("alias-set", name, version, reason=reason, evidence=evidence))
        key = {"name": name, "alias": alias}
        upsert(connection, schema.model_aliases, key, {"version": version, "event_id": event.id})
    return event


def delete_alias(name: str, alias: str, *, reason: str = "", store: Store | None = None) -> ModelEvent:
    """Take an alias away, in one transaction with its event; the version stays.

    Args:
        name: Name of the model.
        alias: The alias.
        reason: Why.
        store: Another store than the one that the settings name.

    Raises:
        ModelNotFound: No model has this name.
        VersionNotFound: It has no such alias.
    """
    store = current_store(store)
    alias = alias.removeprefix("@")
    get_model(name, store=store)
    with store.write() as connection:
        lock_model(connection, name)
        before = _row(connection, name, alias)
        if before is None:
            raise VersionNotFound(name, f"@{alias}", what_exists(connection, name))
        change = Change("alias-deleted", name, before.version, reason=reason, evidence={"alias": alias})
        event = append_event(connection, change)
        connection.execute(sa.delete(schema.model_aliases).where(_a.name == name, _a.alias == alias))
    return event


def _row(connection: Connection, name: str, alias: str) -> Any:
    query = sa.select(_a.version, _a.event_id).where(_a.name == name, _a.alias == alias)
    return connection.execute(query).first()


def _checked(alias: str) -> str:
    alias = alias.removeprefix("@")
    # v3 and 3 would look like versions, and latest is one.
    if not _NAME.fullmatch(alias) or alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise BadReference(
            f"{alias!r} cannot be an alias; use up to 100 letters, digits, '.', '_' and '-', beginning with a letter,"
            " and neither 'latest' nor what looks like a version."
        )
    return alias
