"""Which promotions have been acted upon."""

from __future__ import annotations

import sqlalchemy as sa

from ..store import Store, current_store, now_ms, schema

__all__ = ["is_handled", "latest_events", "recent_events"]


def latest_events(*, store: Store | None = None) -> dict[tuple[str, str], str]:
    """Give, for each endpoint's (model, stage), the event that last said which version it shall answer with."""
    columns = schema.endpoints.c
    with current_store(store).read() as connection:
        rows = connection.execute(sa.select(columns.name, columns.stage, columns.desired_event)).all()
    return {(name, stage): event for name, stage, event in rows if event is not None}


def recent_events(seconds: float, *, store: Store | None = None) -> set[str]:
    """Give the ids of the registry's events of the last seconds, by the database's clock."""
    columns = schema.model_events.c
    query = sa.select(columns.id).where(columns.at > now_ms() - round(seconds * 1000))
    with current_store(store).read() as connection:
        return set(connection.execute(query).scalars())


def is_handled(latest: str | None, event_id: str) -> bool:
    """Whether an event, or a later one, was acted upon; ids of events sort by time."""
    return latest is not None and latest >= event_id
