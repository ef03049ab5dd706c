"""The writers of this process, through fork and exit, and the recovery of what dead processes left."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from pathlib import Path

from .engine import Store
from .journal import START, Abandoned, SeriesKey, abandoned, read_batch
from .series import Tails
from .writer import Writer, applied_mark, apply_batch, forget_mark, move_mark

__all__ = ["flush_pending", "recover", "writer_for"]


def writer_for(store: Store) -> Writer:
    """Give this process's writer for a store, made on first use."""
    return _writers.get(store)


def flush_pending(store: Store) -> None:
    """Write what this process has pending, so that it reads what it wrote."""
    _writers.flush(store)


def recover(store: Store) -> int:
    """Bring what processes that died have logged into the database; give the number of points and other writes."""
    count = 0
    for path in sorted(store.settings.journal.glob("*.journal")):
        if not _writers.hold(path):
            with abandoned(path, store.settings.store_key) as file:
                count += _replay(store, file) if file else 0
    return count


def _replay(store: Store, file: Abandoned) -> int:
    keys: dict[int, SeriesKey] = {}
    with store.write() as connection:
        ids = store.ids.within(connection)
        mark = applied_mark(connection, file.id)
        read_batch(file.data, keys, START, mark)
        batch, end = read_batch(file.data, keys, mark)
        if len(batch):
            apply_batch(connection, ids, batch, Tails())
            move_mark(connection, file.id, mark, end)
    ids.keep()
    store.sync()
    file.path.unlink(missing_ok=True)
    forget_mark(store, file.id)
    return len(batch)


class _Writers:
    """The one place that knows of fork and exit."""

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

    def hold(self, path: Path) -> bool:
        return any(writer.holds(path.name) for writer in list(self._writers.values()))

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        for writer in list(self._writers.values()):
            writer.after_fork()
        if util := sys.modules.get("multiprocessing.util"):
            # Children of multiprocessing leave without the exit handlers of the interpreter, but call these.
            util.Finalize(None, self._close, exitpriority=0)

    def _close(self) -> None:
        for writer in list(self._writers.values()):
            writer.close()


_writers = _Writers()
