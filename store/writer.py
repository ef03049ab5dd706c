"""The writer: takes what a run logs into the journal at once, and into the database within a second, in one thread."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import ParamConflict, StoreError
from . import schema
from .clock import now_ms
from .codec import Points
from .engine import Store
from .entries import apply_entry
from .interning import Ids
from .journal import (
    IS_POINT,
    SLOT,
    START,
    Batch,
    Entry,
    JournalFile,
    SeriesKey,
    key_entry,
    pack_entry,
    pack_point,
    read_batch,
)
from .runs import heartbeat
from .series import Tails, append_points, merge_segments
from .upsert import insert_new

__all__ = ["Series", "Writer", "applied_mark", "apply_batch", "forget_mark", "move_mark", "set_mark"]

_FLUSH_SECONDS = 0.5
_BEAT_SECONDS = 10.0
_RETRY_SECONDS = 2.0
# The longest that a training waits for a database that is away, and that the end of a run waits for a slow one.
_PATIENCE = 0.1
_END_PATIENCE = 30.0
_SIZES = (1 << 18, 1 << 21, 1 << 24)  # of the first, the second and all further files of a journal
_j = schema.journals.c
_MOVE = (
    sa.update(schema.journals)
    .where(_j.id == sa.bindparam("journal"), _j.applied == sa.bindparam("start"))
    .values(applied=sa.bindparam("end"), updated_at=now_ms())
)
_log = logging.getLogger("prefect_ml")


class Series:
    """One series as this process writes it: its key, and the number that it has in the current journal file."""

    __slots__ = ("file", "key", "next_step", "number")

    def __init__(self, key: SeriesKey) -> None:
        self.key = key
        self.file: JournalFile | None = None
        self.number = 0
        self.next_step = 0


class Writer:
    """One per process and store. Safe to call from any thread."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._files: list[JournalFile] = []
        self._open: dict[str, int] = {}
        self._tails = Tails()
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._flushed = threading.Condition()
        self._asked: set[tuple[str, int]] = set()
        self._conflicts: dict[tuple[str, int], ParamConflict] = {}
        self._file: JournalFile | None = None
        self._thread: threading.Thread | None = None
        self._away: StoreError | None = None
        self._dirty = False

    def add_point(self, series: Series, step: int, at: int, value: float) -> None:
        """Take one point; it survives the death of this process from here on.

        Raises:
            StoreError: The disk is full or gone; the point is not taken.
        """
        with self._lock:
            file = self._file
            if series.file is not file or file is None or file.offset + SLOT > file.limit:
                file = self._named(series, SLOT)
            pack_point(file.map, file.offset, step, at, value, series.number, IS_POINT)
            file.offset += SLOT

    def add_points(self, series: Series, points: Points) -> None:
        """Take many points of one series in order; all or, where the disk is full, none of them."""
        with self._lock:
            file = self._named(series, 24 * len(points))
            file.add_block(series.number, points)
        self._wake.set()

    def submit(self, entry: Entry) -> None:
        """Take another write, and wait a moment for the database's word on it.

        Raises:
            ParamConflict: It was refused.
            StoreError: The disk is full or gone; the entry is not taken.
        """
        file, offset = self._add(entry, asked=True)
        self._wait(file, offset, _PATIENCE)
        with self._lock:
            self._asked.discard((file.id, offset))
            conflict = self._conflicts.pop((file.id, offset), None)
        if conflict:
            raise conflict

    def post(self, entry: Entry) -> None:
        """Take another write without waiting for the database."""
        self._add(entry)

    def run_opened(self, run_id: str) -> None:
        """Keep the run alive with heartbeats until it is closed."""
        with self._lock:
            self._open[run_id] = self._open.get(run_id, 0) + 1
            self._start()

    def run_closed(self, run_id: str, entry: Entry | None = None) -> None:
        """End one scope's claim on the run, with the entry that closes it where nobody else will.

        Where the database is away the entry stays in the journal, and the run is closed when it is back.
        """
        if entry:
            file, offset = self._add(entry)
            self._wait(file, offset, _END_PATIENCE)
        with self._lock:
            self._open[run_id] -= 1
            if not self._open[run_id]:
                del self._open[run_id]

    def flush(self) -> None:
        """Write everything taken so far into the database.

        Raises:
            StoreError: The database is away; what was taken stays in the journal and is tried again.
        """
        with self._flushing:
            with self._lock:
                ends = [(file, file.offset) for file in self._files]
            try:
                for file, end in ends:
                    self._drain(file, end)
            except StoreError as error:
                self._away = error
                self.store.ids.clear()
                raise
            finally:
                with self._flushed:
                    self._flushed.notify_all()
            self._away = None

    def close(self) -> None:
        """Flush and remove the journal; called when the process ends."""
        try:
            self.flush()
        except StoreError as error:
            _log.error("What was logged stays in the journal, for `prefect-ml store recover`: %s", error)
            return
        self.sync()
        with self._lock:
            files, self._files, self._file = self._files, [], None
        for file in files:
            file.discard()
            with contextlib.suppress(StoreError):
                forget_mark(self.store, file.id)

    def after_fork(self) -> None:
        """Begin anew in a forked child: what the parent has pending is the parent's to write."""
        for file in self._files:
            file.forget()
        self._files, self._open, self._tails = [], {}, Tails()
        self._reset()

    def holds(self, name: str) -> bool:
        """Whether the journal file of this name is one of ours."""
        return any(file.path.name == name for file in self._files)

    def _add(self, entry: Entry, *, asked: bool = False) -> tuple[JournalFile, int]:
        payload = pack_entry(entry)
        with self._lock:
            file = self._roomy(len(payload))
            offset = file.add_entry(payload)
            if asked:
                self._asked.add((file.id, offset))
            return file, offset

    def _named(self, series: Series, payload: int) -> JournalFile:
        file = self._roomy(payload + 3 * SLOT + len(key_entry(series.key, 0)))
        if series.file is not file:
            series.number, series.file = file.add_key(series.key), file
        return file

    def _roomy(self, payload: int) -> JournalFile:
        """Give a file in which so many bytes still fit; begin another where they do not."""
        self._start()
        if self._file is None or not self._file.room(payload):
            settings = self.store.settings
            usual = _SIZES[min(len(self._files), len(_SIZES) - 1)]
            size = max(usual, START + payload + 2 * SLOT)
            self._file = JournalFile(settings.journal, settings.store_key, -(-size // SLOT) * SLOT)
            self._files.append(self._file)
            self._wake.set()
        return self._file

    def _wait(self, file: JournalFile, offset: int, patience: float) -> bool:
        """Have everything up to `offset` written, and wait for it; tell whether it was."""
        self._wake.set()
        begun = time.monotonic()
        with self._flushed:
            while file.applied < offset:
                allowed = patience if self._away is None else min(patience, _PATIENCE)
                remaining = begun + allowed - time.monotonic()
                if remaining <= 0:
                    return False
                self._flushed.wait(remaining)
        return True

    def _drain(self, file: JournalFile, end: int) -> None:
        """Apply one file up to `end`; a file that is full and applied is done with."""
        while file.applied < end:
            batch, _ = read_batch(file.map, file.keys, file.applied, end)
            applied, conflicts = self._apply(batch, file, end)
            self._answer(file, applied, conflicts)
            self._tidy(batch)
        with self._lock:
            done = file is not self._file and file.applied >= file.offset
        if done:
            self.sync()
            with self._lock:
                self._files.remove(file)
            file.discard()
            forget_mark(self.store, file.id)

    def _apply(self, batch: Batch, file: JournalFile, end: int) -> tuple[int, dict[int, ParamConflict]]:
        with self.store.write() as connection:
            ids = self.store.ids.within(connection)
            if not move_mark(connection, file.id, file.applied, end):
                mark = applied_mark(connection, file.id)
                if mark > file.applied:  # the answer to an earlier commit was lost; `batch` begins too early
                    self._tails = Tails()
                    return mark, {}
                set_mark(connection, file.id, end)
            tails, conflicts = apply_batch(connection, ids, batch, self._tails)
        ids.keep()
        self._tails = tails
        return end, conflicts

    def _answer(self, file: JournalFile, applied: int, conflicts: Mapping[int, ParamConflict]) -> None:
        with self._lock:
            file.applied, self._dirty = applied, True
            answers = {(file.id, offset): conflict for offset, conflict in conflicts.items()}
            self._conflicts.update({key: conflict for key, conflict in answers.items() if key in self._asked})
            unasked = [conflict for key, conflict in answers.items() if key not in self._asked]
        with self._flushed:
            self._flushed.notify_all()
        for conflict in unasked:
            _log.error("A param was refused: %s", conflict)

    def _tidy(self, batch: Batch) -> None:
        """Merge the small segments of attempts that have ended."""
        for _, entry in batch.entries:
            seq = self.store.ids.runs.get(entry["run"]) if entry["do"] == "close" else None
            if seq is not None:
                if self._tails.forget(seq):
                    merge_segments(self.store, seq, entry["attempt"])

    def sync(self) -> None:
        """Bring what was applied to the disk itself, against the death of the machine."""
        if self._dirty:
            self._dirty = False
            self.store.sync()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="prefect-ml-writer", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        beat = time.monotonic() + _BEAT_SECONDS
        while True:
            self._wake.wait(_FLUSH_SECONDS)
            self._wake.clear()
            try:
                self.flush()
                self.sync()
                if time.monotonic() > beat:
                    heartbeat(self.store, list(self._open))
                    beat = time.monotonic() + _BEAT_SECONDS
            except StoreError as error:
                _log.warning("What is logged waits in the journal until the store is back: %s", error)
                time.sleep(_RETRY_SECONDS)
            except Exception:  # noqa: BLE001 - the edge of a thread that must outlive whatever goes wrong in it
                _log.exception("What is logged waits in the journal, because writing it failed unexpectedly")
                time.sleep(_RETRY_SECONDS)


def apply_batch(connection: Connection, ids: Ids, batch: Batch, tails: Tails) -> tuple[Tails, dict[int, ParamConflict]]:
    """Bring a batch into the database.

    Returns:
        The tails as they are once the transaction is committed, and the entries that were refused by their offset.
    """
    tails = append_points(connection, ids, batch.points, tails)
    answers = {offset: apply_entry(connection, ids, entry) for offset, entry in batch.entries}
    return tails, {offset: conflict for offset, conflict in answers.items() if conflict}


def applied_mark(connection: Connection, journal: str) -> int:
    """Give how much of a journal is in the database, and keep others from moving the mark meanwhile."""
    insert_new(connection, schema.journals, {"id": journal, "applied": START, "updated_at": now_ms()})
    query = sa.select(schema.journals.c.applied).where(schema.journals.c.id == journal).with_for_update()
    return int(connection.execute(query).scalar_one())


def move_mark(connection: Connection, journal: str, start: int, end: int) -> bool:
    """Move the mark from `start` to `end`; False where it does not stand there."""
    table = schema.journals
    if start == START and insert_new(connection, table, {"id": journal, "applied": end, "updated_at": now_ms()}):
        return True
    return connection.execute(_MOVE, {"journal": journal, "start": start, "end": end}).rowcount > 0


def set_mark(connection: Connection, journal: str, end: int) -> None:
    """Put the mark where it belongs, wherever it stands."""
    table = schema.journals
    connection.execute(sa.update(table).where(table.c.id == journal).values(applied=end, updated_at=now_ms()))


def forget_mark(store: Store, journal: str) -> None:
    """Remove the mark of a journal that is no more."""
    with store.write() as connection:
        connection.execute(sa.delete(schema.journals).where(schema.journals.c.id == journal))
