"""The writer: takes points into the journal at once, and into the database within a second, in one thread."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import StoreError
from . import schema
from .engine import Store, now_ms
from .journal import Journal, JournalFile, abandoned, read_points
from .runs import heartbeat
from .series import Point, SeriesKey, append_points
from .upsert import insert_new

__all__ = ["Writer", "flush_pending", "recover", "writer_for"]

_FLUSH_SECONDS = 0.5
_BEATS = 20  # flushes between two heartbeats
_log = logging.getLogger("prefect_ml")

Batch = dict[SeriesKey, list[Point]]


class Writer:
    """One per process and store. Safe to call from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._pending: Batch = defaultdict(list)
        self._open: dict[str, int] = {}
        self._journal: Journal | None = None
        self._thread: threading.Thread | None = None

    def add(self, key: SeriesKey, points: Iterable[Point]) -> None:
        """Take points of one series; they survive the death of this process from here on."""
        with self._lock:
            journal = self._journal = self._journal or self._new_journal()
            for point in points:
                journal.add(key, point)  # a point that the journal refuses must leave no trace below
                self._pending[key].append(point)
            self._start()

    def run_opened(self, run_id: str) -> None:
        """Keep the run alive with heartbeats until it is closed."""
        with self._lock:
            self._open[run_id] = self._open.get(run_id, 0) + 1
            self._start()

    def run_closed(self, run_id: str) -> None:
        """Write what is pending, and end one scope's claim on the run's heartbeat."""
        self.flush()
        with self._lock:
            self._open[run_id] -= 1
            if not self._open[run_id]:
                del self._open[run_id]

    def flush(self) -> None:
        """Write every point taken so far into the database.

        Raises:
            StoreError: The database is away; the points stay in the journal and are tried again.
        """
        with self._flushing:
            with self._lock:
                if not self._pending or self._journal is None:
                    return
                batch, self._pending = self._pending, defaultdict(list)
                journal, offset = self._journal, self._journal.offset
            try:
                with self._store.write() as connection:
                    append_points(connection, batch)
                    _set_applied(connection, journal.id, offset)
            except StoreError:
                self._put_back(batch)
                raise

    def close(self) -> None:
        """Flush and remove the journal; called when the process ends."""
        try:
            self.flush()
        except StoreError as error:
            _log.error("Metrics stay in the journal, for `prefect-ml store recover`: %s", error)
            return
        with self._lock:
            journal, self._journal = self._journal, None
        if journal:
            journal.discard()
            with contextlib.suppress(StoreError), self._store.write() as connection:
                connection.execute(sa.delete(schema.journals).where(schema.journals.c.id == journal.id))

    def after_fork(self) -> None:
        """Begin anew in a forked child: what the parent has pending is the parent's to write."""
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._pending, self._open, self._thread = defaultdict(list), {}, None
        if self._journal:
            self._journal.forget()
        self._journal = None

    def _new_journal(self) -> Journal:
        return Journal(self._store.settings.journal, self._store.settings.store_key)

    def _put_back(self, batch: Batch) -> None:
        with self._lock:
            for key, points in batch.items():
                self._pending[key] = points + self._pending[key]

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="prefect-ml-writer", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        beats = 0
        while True:
            time.sleep(_FLUSH_SECONDS)
            beats = (beats + 1) % _BEATS
            try:
                self.flush()
                if beats == 0:
                    heartbeat(self._store, list(self._open))
            except StoreError as error:
                _log.warning("Metrics wait in the journal until the store is back: %s", error)
                time.sleep(5)


def recover(store: Store) -> int:
    """Bring the points of processes that died into the database; give how many."""
    files = abandoned(store.settings.journal, store.settings.store_key)
    return sum(_replay(store, file) for file in files)


def writer_for(store: Store) -> Writer:
    """Give this process's writer for a store, made on first use."""
    return _writers.get(store)


def flush_pending(store: Store) -> None:
    """Write what this process has pending, so that it reads what it wrote."""
    _writers.flush(store)


def _replay(store: Store, file: JournalFile) -> int:
    with store.write() as connection:
        start = _applied(connection, file.id)
        batch: Batch = defaultdict(list)
        end = start
        for key, point, end in read_points(file, start):  # noqa: B007 - the last offset is needed
            batch[key].append(point)
        append_points(connection, batch)
        _set_applied(connection, file.id, end)
    file.path.unlink(missing_ok=True)
    return sum(len(points) for points in batch.values())


def _applied(connection: Connection, journal: str) -> int:
    insert_new(connection, schema.journals, {"id": journal, "applied": 0, "updated_at": now_ms()})
    query = sa.select(schema.journals.c.applied).where(schema.journals.c.id == journal).with_for_update()
    return int(connection.execute(query).scalar_one())


def _set_applied(connection: Connection, journal: str, offset: int) -> None:
    insert_new(connection, schema.journals, {"id": journal, "applied": 0, "updated_at": now_ms()})
    connection.execute(
        sa.update(schema.journals).where(schema.journals.c.id == journal).values(applied=offset, updated_at=now_ms())
    )


class _Writers:
    """The writers of this process: the one place that knows of fork and exit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writers: weakref.WeakKeyDictionary[Store, Writer] = weakref.WeakKeyDictionary()
        os.register_at_fork(after_in_child=self._after_fork)
        atexit.register(self._close)

    def get(self, store: Store) -> Writer:
        with self._lock:
            if store not in self._writers:
                recover(store)
                self._writers[store] = Writer(store)
            return self._writers[store]

    def flush(self, store: Store) -> None:
        writer = self._writers.get(store)
        if writer:
            writer.flush()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        for writer in list(self._writers.values()):
            writer.after_fork()

    def _close(self) -> None:
        for writer in list(self._writers.values()):
            writer.close()


_writers = _Writers()
