"""Which promotions have been acted upon."""

from __future__ import annotations

import sqlalchemy as sa

from ..store import Store, current_store, schema

__all__ = ["is_handled", "latest_events"]


def latest_events(*, store: Store | None = None) -> dict[tuple[str, str], str]:
    """Give, for each endpoint's (model, stage), the event that last said which version it shall answer with."""
    columns = schema.endpoints.c
    with current_store(store).read() as connection:
        rows = connection.execute(sa.select(columns.name, columns.stage, columns.desired_event)).all()
    return {(name, stage): event for name, stage, event in rows if event is not None}


def is_handled(latest: str | None, event_id: str) -> bool:
    """Whether an event, or a later one, was acted upon; ids of events sort by time."""
    return latest is not None and latest >= event_id
