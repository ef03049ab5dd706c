"""The agent's side of the endpoints table: what is wished for on this host, and what has become of it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..store import Store, now_ms, schema

__all__ = ["Wish", "read_wishes", "write_actual"]

_t = schema.endpoints


@dataclass(frozen=True)
class Wish:
    """What an endpoint shall serve.

    Attributes:
        version: The version, or None where nothing shall answer.
        event: Id of the event that asked for it; the same version asked for again is a new wish.
        url: Its address, once it has one.
    """

    name: str
    stage: str
    version: int | None
    event: str | None
    url: str

    @property
    def key(self) -> tuple[str, str]:
        """Which endpoint it is."""
        return self.name, self.stage

    @property
    def content(self) -> tuple[int | None, str | None]:
        """What makes it another wish."""
        return self.version, self.event


def read_wishes(store: Store) -> list[Wish]:
    """Give the wishes for the endpoints of this host."""
    query = sa.select(_t.c.name, _t.c.stage, _t.c.desired_version, _t.c.desired_event, _t.c.url).where(
        _t.c.host == socket.gethostname()
    )
    with store.read() as connection:
        return [Wish(*row) for row in connection.execute(query)]


def write_actual(store: Store, wish: Wish, **values: Any) -> None:
    """Write what has become of a wish, unless another one has taken its place."""
    with store.write() as connection:
        connection.execute(
            sa.update(_t)
            .where(
                _t.c.name == wish.name,
                _t.c.stage == wish.stage,
                _t.c.desired_version.is_not_distinct_from(wish.version),
                _t.c.desired_event.is_not_distinct_from(wish.event),
            )
            .values(**values, updated_at=now_ms())
        )
