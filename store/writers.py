"""The writers of this process, through fork and exit, and the recovery of what dead processes left."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .applying import apply_batch, forget_mark, mark_of
from .engine import Store
from .journal import START, Abandoned, Glimpse, SeriesKey, abandoned, glimpse, read_batch
from .series import Tails
from .writer import Writer

__all__ = ["flush_pending", "journals_of_others", "recover", "writer_for"]

_log = logging.getLogger("prefect_ml")


def writer_for(store: Store) -> Writer:
    """Give this process's writer for a store, made on first use; what dead processes left is written first."""
    return _writers.get(store)


def flush_pending(store: Store) -> None:
    """Write what this process has pending and what dead ones left, so that a reader sees all that was logged."""
    _writers.flush(store)


def recover(store: Store) -> int:
    """Bring what processes that died have logged into the database; give the number of points and other writes.

    Raises:
        StoreError: The database is away, or refused; everything stays where it was.
    """
    return _writers.recover(store)


def journals_of_others(store: Store) -> list[Glimpse]:
    """Give the journal files of this store that other processes have left, or write."""
    return _writers.look(store)


def _replay(store: Store, file: Abandoned) -> int:
    with store.write() as connection:
        mark = mark_of(connection, file.id)
    keys: dict[int, SeriesKey] = {}
    try:
        read_batch(file.data, keys, START, mark)
        batch, end = read_batch(file.data, keys, mark)
    except (ValueError, LookupError, TypeError) as error:  # of another version, or damaged
        aside = file.path.rename(file.path.with_suffix(".unreadable"))
        _log.error("The journal of a process that died cannot be read (%r); it is kept as %s.", error, aside)
        return 0
    if len(batch):
        applied = apply_batch(store, file.id, batch, mark, end, Tails())
        for conflict in applied.conflicts.values():
            _log.error("A param was refused: %s", conflict)
    store.sync()
    file.path.unlink(missing_ok=True)
    forget_mark(store, file.id)
    return len(batch)


class _Writers:
    """The one place that knows of fork and exit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recovering = threading.Lock()
        self._writers: weakref.WeakKeyDictionary[Store, Writer] = weakref.WeakKeyDictionary()
        os.register_at_fork(after_in_child=self._after_fork)
        atexit.register(self._close)

    def get(self, store: Store) -> Writer:
        writer = self._writers.get(store)
        if writer is None:
            self._recover_quietly(store)
            with self._lock:
                writer = self._writers.setdefault(store, Writer(store, functools.partial(self._recover_quietly, store)))
            self._close_with_multiprocessing()
        return writer

    def flush(self, store: Store) -> None:
        writer = self._writers.get(store)
        if writer:
            writer.flush()
        self._recover_quietly(store)

    def recover(self, store: Store) -> int:
        count = 0
        with self._recovering:  # one thread at a time: the locks on journals keep out other processes only
            for path in self._of_others(store):
                with abandoned(path, store.settings.store_key) as file:
                    count += _replay(store, file) if file else 0
        return count

    def look(self, store: Store) -> list[Glimpse]:
        with self._recovering:
            found = [glimpse(path, store.settings.store_key) for path in self._of_others(store)]
        return [file for file in found if file]

    def _of_others(self, store: Store) -> Iterator[Path]:
        for path in _journals(store.settings.journal):
            if not any(writer.holds(path.name) for writer in list(self._writers.values())):
                yield path

    def _recover_quietly(self, store: Store) -> None:
        try:
            self.recover(store)
        except StoreError as error:
            _log.warning("What a process that died has logged waits in its journal: %s", error)

    def _after_fork(self) -> None:
        self._lock, self._recovering = threading.Lock(), threading.Lock()
        for writer in list(self._writers.values()):
            writer.after_fork()
        if util := _multiprocessing():
            # It drops all finalizers in a new child, and then calls these.
            util.register_after_fork(self, _Writers._close_with_multiprocessing)

    def _close_with_multiprocessing(self) -> None:
        """Children of multiprocessing leave without the exit handlers of the interpreter, but call its finalizers."""
        if util := _multiprocessing():
            util.Finalize(None, self._close, exitpriority=0)

    def _close(self) -> None:
        for writer in list(self._writers.values()):
            writer.close()


def _journals(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in sorted(os.listdir(folder)) if name.endswith(".journal")]
    except OSError:  # nobody has logged here, or it is not ours to look at
        return []


def _multiprocessing() -> Any:
    return sys.modules.get("multiprocessing.util")


_writers = _Writers()
