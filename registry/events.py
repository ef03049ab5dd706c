"""The append-only event log of each model, and the outbox row that leaves with each event."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..running import flow_run_id, system_user
from ..store import Store, current_store, from_ms, new_id, schema
from .records import ModelEvent
from .versions import get_model

__all__ = ["Change", "append_event", "model_history", "read_event"]

_t = schema.model_events.c
_ANNOUNCED = {"registered", "promoted", "demoted", "archived"}


@dataclass(frozen=True)
class Change:
    """What happened to one version, before it is written down."""

    kind: str
    name: str
    version: int
    from_stage: str | None = None
    to_stage: str | None = None
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict[str, Any])


def append_event(connection: Connection, change: Change) -> ModelEvent:
    """Write the event, and its outbox row, into the caller's transaction."""
    latest = connection.execute(sa.select(sa.func.max(_t.id)).where(_t.name == change.name)).scalar()
    event = ModelEvent(
        id=new_id(after=latest),
        kind=change.kind,
        name=change.name,
        version=change.version,
        from_stage=change.from_stage,
        to_stage=change.to_stage,
        actor=system_user(),
        reason=change.reason,
        evidence=change.evidence,
        at=from_ms(time.time_ns() // 1_000_000),
        flow_run_id=flow_run_id(),
    )
    number = sa.select(sa.func.coalesce(sa.func.max(_t.seq), 0) + 1).where(_t.name == event.name).scalar_subquery()
    connection.execute(sa.insert(schema.model_events).values(**_row(event), seq=number))
    if event.kind in _ANNOUNCED:
        _announce(connection, event)
    return event


def model_history(name: str, *, store: Store | None = None) -> list[ModelEvent]:
    """Give every event of a model, oldest first.

    Raises:
        ModelNotFound: No model has this name.
    """
    store = current_store(store)
    get_model(name, store=store)
    with store.read() as connection:
        rows = connection.execute(sa.select(schema.model_events).where(_t.name == name).order_by(_t.seq)).all()
    return [_event(row) for row in rows]


def read_event(connection: Connection, event_id: str) -> ModelEvent:
    """Give one event by its id."""
    return _event(connection.execute(sa.select(schema.model_events).where(_t.id == event_id)).one())


def _row(event: ModelEvent) -> dict[str, Any]:
    return {**vars(event), "at": round(event.at.timestamp() * 1000), "evidence": dict(event.evidence)}


def _event(row: Any) -> ModelEvent:
    values: dict[str, Any] = {**row._mapping, "at": from_ms(row.at)}
    del values["seq"]
    return ModelEvent(**values)


def _announce(connection: Connection, event: ModelEvent) -> None:
    kind = "demoted" if event.kind == "archived" else event.kind
    body = {
        "id": event.id,
        "occurred": event.at.isoformat(),
        "event": f"prefect-ml.model-version.{kind}",
        "resource": {
            "prefect.resource.id": f"prefect-ml.model-version.{event.name}.{event.version}",
            "prefect.resource.name": f"{event.name} v{event.version}",
        },
        "related": [{"prefect.resource.id": f"prefect-ml.model.{event.name}", "prefect.resource.role": "model"}],
        "payload": {
            "model": event.name,
            "version": event.version,
            "stage": event.to_stage,
            "event_id": event.id,
            "previous": event.evidence.get("previous"),
        },
    }
    connection.execute(
        sa.insert(schema.outbox).values(event_id=event.id, body=body, created_at=round(event.at.timestamp() * 1000))
    )
