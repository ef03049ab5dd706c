"""Stages: who holds them, and the compare-and-swap that moves them."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import RegistryError, StageConflict
from ..store import Store, current_store, schema
from .events import Change, append_event, read_event
from .records import ModelEvent
from .rules import EXCLUSIVE_STAGES, SERVED_STAGES, canonical_stage
from .versions import check_version, get_model

__all__ = ["UNSET", "holder_of", "lock_model", "promote", "served_holders"]

_h = schema.stage_holders.c


# Says that a caller expects nothing in particular, which differs from expecting nobody (None).
UNSET: Final[Any] = object()


def promote(
    name: str,
    version: int,
    *,
    to: str,
    reason: str = "",
    expect: int | None = UNSET,
    store: Store | None = None,
) -> ModelEvent:
    """Give a stage to a version: the event, the new holder and the outbox row are one transaction.

    The version that held an exclusive stage is archived. Promoting the holder changes nothing and gives the event
    that made it the holder. `prefect_ml.promote` documents the arguments; it also tells Prefect.

    Raises:
        ModelNotFound, VersionNotFound: There is no such thing.
        StageConflict: Another version than `expect` holds the stage.
        RegistryError: The version's files are not ready.
    """
    store = current_store(store)
    stage = canonical_stage(to)
    get_model(name, store=store)
    with store.write() as connection:
        lock_model(connection, name)
        _check_ready(connection, name, version)
        holder = _holder(connection, name, stage)
        actual = holder.version if holder else None
        if expect is not UNSET and expect != actual:
            raise StageConflict(name, stage, expect, actual)
        standing = _standing(connection, name, version)
        if standing and standing.stage == stage:
            return read_event(connection, standing.event_id)
        return _move(connection, Change(_kind(stage), name, version, _stage_of(standing), stage, reason), holder)


def holder_of(name: str, stage: str, *, store: Store | None = None) -> tuple[int, str] | None:
    """Give the version that holds an exclusive stage and the id of the event that put it there, or None."""
    with current_store(store).read() as connection:
        holder = _holder(connection, name, canonical_stage(stage))
    return (holder.version, holder.event_id) if holder else None


def served_holders(*, store: Store | None = None) -> list[tuple[str, str, int, str]]:
    """Give (model, stage, version, event id) for every holder of a stage that is served."""
    query = sa.select(_h.name, _h.stage, _h.version, _h.event_id).where(_h.stage.in_(SERVED_STAGES))
    with current_store(store).read() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(_h.name))]


def _move(connection: Connection, change: Change, holder: Any) -> ModelEvent:
    previous = holder.version if holder else None
    event = append_event(
        connection,
        Change(
            change.kind,
            change.name,
            change.version,
            change.from_stage,
            change.to_stage,
            change.reason,
            {"previous": previous},
        ),
    )
    if previous is not None:
        reason = f"version {change.version} took {change.to_stage}"
        gone = append_event(
            connection, Change("demoted", change.name, previous, change.to_stage, "Archived", reason, {})
        )
        _place(connection, change.name, previous, "Archived", gone.id)
    _place(connection, change.name, change.version, str(change.to_stage), event.id)
    return event


def _place(connection: Connection, name: str, version: int, stage: str, event_id: str) -> None:
    connection.execute(sa.delete(schema.stage_holders).where(_h.name == name, _h.version == version))
    if stage != "None":
        connection.execute(
            sa.insert(schema.stage_holders).values(
                name=name, version=version, stage=stage, exclusive=stage in EXCLUSIVE_STAGES, event_id=event_id
            )
        )


def lock_model(connection: Connection, name: str) -> None:
    """Let the caller's transaction be the only one that changes this model until it ends."""
    table = schema.registered_models
    connection.execute(sa.select(table.c.name).where(table.c.name == name).with_for_update())


def _check_ready(connection: Connection, name: str, version: int) -> None:
    status = check_version(connection, name, version)
    if status != "Ready":
        raise RegistryError(f"Version {version} of model {name!r} is {status}; only a Ready version can be promoted.")


def _holder(connection: Connection, name: str, stage: str) -> Any:
    query = sa.select(schema.stage_holders).where(_h.name == name, _h.stage == stage, _h.exclusive)
    return connection.execute(query).first()


def _standing(connection: Connection, name: str, version: int) -> Any:
    return connection.execute(sa.select(schema.stage_holders).where(_h.name == name, _h.version == version)).first()


def _stage_of(standing: Any) -> str:
    return standing.stage if standing else "None"


def _kind(stage: str) -> str:
    return {"None": "demoted", "Archived": "archived"}.get(stage, "promoted")
