"""Journals that wait, though somebody has had the time to bring them into the database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from . import schema
from .engine import Store
from .journal import START, Glimpse, SeriesKey, read_batch
from .writers import journals_of_others

__all__ = ["Waiting", "waiting_journals"]

_PATIENCE = 3.0  # seconds in which a process that lives tries several times
_j = schema.journals.c


@dataclass(frozen=True)
class Waiting:
    """A journal file with writes that the database has not taken.

    Attributes:
        name: Name of the file.
        pid: The process that has written it, as it knows itself.
        lives: Whether that process is still there.
        writes: How many points and other writes wait.
    """

    name: str
    pid: int
    lives: bool
    writes: int


def waiting_journals(store: Store) -> list[Waiting]:
    """Give the journals of other processes that wait; those that live get a few seconds.

    Raises:
        StoreError: The database cannot be read.
    """
    files = journals_of_others(store)
    until = time.monotonic() + _PATIENCE
    while True:
        found = list(_waiting(store, files))
        if time.monotonic() > until or not any(one.lives for one in found):
            return found
        time.sleep(0.1)


def _waiting(store: Store, files: list[Glimpse]) -> Iterator[Waiting]:
    query = sa.select(_j.id, _j.applied).where(_j.id.in_([file.id for file in files]))
    with store.read() as connection:
        marks = dict(connection.execute(query).tuples().all())
    for file in files:
        writes = _writes_behind(file, marks.get(file.id, START))
        if writes and file.path.exists():
            yield Waiting(file.path.name, file.pid, file.lives, writes)


def _writes_behind(file: Glimpse, mark: int) -> int:
    keys: dict[int, SeriesKey] = {}
    try:
        read_batch(file.data, keys, START, mark)
        return len(read_batch(file.data, keys, mark)[0])
    except (ValueError, LookupError, TypeError):  # of another version; it is set aside when its process has died
        return 0
