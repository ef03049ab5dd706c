"""The outbox: events that are committed here and must reach Prefect, in order, at least once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ..errors import ServiceError
from ..store import Store, current_store, now_ms, schema

__all__ = ["backlog", "relay_pending"]

_t = schema.outbox.c
_PAGE = 100


def backlog(*, store: Store | None = None) -> int:
    """Give how many events still wait for Prefect."""
    query = sa.select(sa.func.count()).select_from(schema.outbox).where(_t.relayed_at.is_(None))
    with current_store(store).read() as connection:
        return int(connection.execute(query).scalar_one())


def relay_pending(api_url: str, *, auth: str | None = None, store: Store | None = None) -> int:
    """Post waiting events to Prefect's events API and mark those that it acknowledged.

    An event keeps its id however often it is posted, so that a repeat does no harm.

    Args:
        api_url: Address of the Prefect API, ending in `/api`.
        auth: `user:password` of a server that asks for it (`PREFECT_API_AUTH_STRING`).
        store: Another store than the one that the settings name.

    Returns:
        How many events were acknowledged.

    Raises:
        ServiceError: The server cannot be reached or refuses; what it did not acknowledge stays in the outbox.
    """
    store = current_store(store)
    sent = 0
    while rows := _waiting(store):
        _post(api_url, auth, [row.body for row in rows])
        with store.write() as connection:
            connection.execute(
                sa.update(schema.outbox).where(_t.seq.in_([row.seq for row in rows])).values(relayed_at=now_ms())
            )
        sent += len(rows)
    return sent


def _waiting(store: Store) -> Sequence[sa.Row[Any]]:
    query = sa.select(_t.seq, _t.body).where(_t.relayed_at.is_(None)).order_by(_t.seq).limit(_PAGE)
    with store.read() as connection:
        return connection.execute(query).all()


def _post(api_url: str, auth: str | None, events: list[dict[str, object]]) -> None:
    import httpx

    login = tuple(auth.split(":", 1)) if auth and ":" in auth else None
    try:
        answer = httpx.post(f"{api_url.rstrip('/')}/events", json=events, auth=login, timeout=10)  # pyright: ignore[reportArgumentType]
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise ServiceError(
            f"Prefect at {api_url} did not take the events ({error}); they wait in the outbox."
        ) from error
