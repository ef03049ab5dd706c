"""The writer: takes what a run logs into the journal at once, and into the database within a second, in one thread."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping

from ..errors import ParamConflict, StoreError
from .applying import apply_batch, forget_mark
from .codec import Points
from .engine import Store
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
from .series import Tails, merge_segments

__all__ = ["Series", "Writer"]

_FLUSH_SECONDS = 0.5
_BEAT_SECONDS = 10.0
_RETRY_SECONDS = 1.0
# The longest that a training waits for a database that is away, and that the end of a run waits for a slow one.
_PATIENCE = 0.08
_END_PATIENCE = 30.0
_SIZES = (1 << 18, 1 << 21, 1 << 24)  # of the first, the second and all further files of a journal
# For the ends of runs on a full disk: this much at least, and this much for each run that is open.
_RESERVE, _RESERVE_OF_RUN = 1 << 14, 512
_CUT = " ... (cut, because the disk of the journal was full)"
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

    def __init__(self, store: Store, tend: Callable[[], object]) -> None:
        self.store = store
        self._tend = tend
        self._files: list[JournalFile] = []
        self._open: dict[str, int] = {}
        self._tails = Tails()
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._flushed = threading.Condition()
        self._asked: set[tuple[str, int]] = set()
        self._conflicts: dict[tuple[str, int], ParamConflict] = {}
        self._file: JournalFile | None = None
        self._making: str | None = None
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
            # There is a file with a reserve for its end from now on; a disk that is full already is told to who logs.
            with contextlib.suppress(StoreError):
                self._roomy(0)

    def run_closed(self, run_id: str, entry: Entry | None = None) -> None:
        """End one scope's claim on the run, with the entry that closes it where nobody else will.

        Where the database is away the entry stays in the journal, and the run is closed when it is back; where the
        disk is full it takes what is reserved for it.
        """
        try:
            if entry:
                file, offset = self._add_end(entry)
                self._wait(file, offset, _END_PATIENCE)
        finally:
            with self._lock:
                self._open[run_id] -= 1
                if not self._open[run_id]:
                    del self._open[run_id]

    def has_open(self, run_id: str) -> bool:
        """Whether a scope in this process has the run open."""
        return run_id in self._open

    def settle(self, patience: float = _END_PATIENCE) -> bool:
        """Wait until everything taken so far is in the database; tell whether it is."""
        with self._lock:
            ends = [(file, file.offset) for file in self._files]
        until = time.monotonic() + patience
        return all(self._wait(file, end, until - time.monotonic()) for file, end in ends)

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
        """Have everything written and remove the journal; called when the process ends.

        The thread does it, because a database that hangs must not keep the process from ending: what is not written
        after a while stays in the journal.
        """
        self._away = None
        self._ending.set()
        written = self.settle()
        if written and self._flushing.acquire(timeout=_PATIENCE):
            self._discard()
            self._flushing.release()
        if not written:
            _log.error(
                "What was logged last stays in the journal, for `prefect-ml store recover`: %s",
                self._away or f"the store {self.store.url} does not answer",
            )
        self._ending.clear()

    def after_fork(self) -> None:
        """Begin anew in a forked child: what the parent has pending is the parent's to write."""
        for file in self._files:
            file.forget()
        self._files, self._open, self._tails = [], {}, Tails()
        self._reset()

    def holds(self, name: str) -> bool:
        """Whether the journal file of this name is one of ours, or about to be."""
        return f"{self._making}.journal" == name or any(file.path.name == name for file in list(self._files))

    def _add(self, entry: Entry, *, asked: bool = False) -> tuple[JournalFile, int]:
        payload = pack_entry(entry)
        with self._lock:
            file = self._roomy(len(payload))
            offset = file.add_entry(payload)
            if asked:
                self._asked.add((file.id, offset))
            return file, offset

    def _add_end(self, entry: Entry) -> tuple[JournalFile, int]:
        try:
            return self._add(entry)
        except StoreError:
            with self._lock:
                file = self._file
                payload = _fitting(entry, file.rest // max(len(self._open), 1) - SLOT) if file else None
                if file is None or payload is None:
                    raise
                return file, file.add_entry(payload)

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
            reserve = max(_RESERVE, _RESERVE_OF_RUN * len(self._open))
            size = -(-max(usual, START + payload + 2 * SLOT + reserve) // SLOT) * SLOT
            self._making = uuid.uuid4().hex
            try:
                file = JournalFile(settings.journal, settings.store_key, size, self._making, reserve=reserve)
                self._files.append(file)
            finally:
                self._making = None
            self._file = file
            self._wake.set()
        return self._file

    def _wait(self, file: JournalFile, offset: int, patience: float) -> bool:
        """Have everything up to `offset` written, and wait for it; tell whether it was."""
        self._wake.set()
        begun = time.monotonic()
        with self._flushed:
            while file.applied < offset:
                remaining = begun + patience - time.monotonic()
                if remaining <= 0 or self._away:
                    return False
                self._flushed.wait(remaining)
        return True

    def _drain(self, file: JournalFile, end: int) -> None:
        """Apply one file up to `end`; a file that is full and applied is done with."""
        while file.applied < end:
            batch, _ = read_batch(file.map, file.keys, file.applied, end)
            applied = apply_batch(self.store, file.id, batch, file.applied, end, self._tails)
            self._tails = applied.tails
            self._answer(file, applied.end, applied.conflicts)
            self._tidy(batch)
        if file is not self._file:
            self._discard()

    def _discard(self) -> None:
        """Remove the files that are in the database as a whole and take no more."""
        self.sync()
        with self._lock:
            if self._ending.is_set() and self._file and self._file.applied >= self._file.offset:
                self._file = None
            done = [file for file in self._files if file is not self._file and file.applied >= file.offset]
        for file in done:
            file.discard()
            with self._lock:
                self._files.remove(file)
            with contextlib.suppress(StoreError):
                forget_mark(self.store, file.id)

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
            if seq is not None and self._tails.forget(seq):
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
        beat, sync = time.monotonic() + _BEAT_SECONDS, 0.0
        while True:
            self._wake.wait(_FLUSH_SECONDS)
            self._wake.clear()
            known = self._away
            try:
                self.flush()
                if time.monotonic() > sync:
                    self.sync()
                    sync = time.monotonic() + _FLUSH_SECONDS
                if time.monotonic() > beat:
                    self._beat()
                    beat = time.monotonic() + _BEAT_SECONDS
            except StoreError as error:
                if known is None:
                    _log.warning("What is logged waits in the journal until the store is back: %s", error)
                self._rest()
            except Exception:  # noqa: BLE001 - the edge of a thread that must outlive whatever goes wrong in it
                _log.exception("What is logged waits in the journal, because writing it failed unexpectedly")
                self._rest()

    def _beat(self) -> None:
        with self._flushing:
            heartbeat(self.store, list(self._open))
            self._tend()

    def _rest(self) -> None:
        """Wait for the store, with what is logged on the disk itself meanwhile."""
        with self._lock:
            files = list(self._files)
        with contextlib.suppress(OSError):  # a disk that fails now says so again when something is logged
            for file in files:
                file.sync()
        self._ending.wait(_RETRY_SECONDS)


def _fitting(entry: Entry, most: int) -> bytes | None:
    """Give the bytes of the end of a run, with less of its error's words where they are too many; None if none fit."""
    words = entry["error"] or ""
    cut = ({**entry, "error": words[:length] + _CUT} for length in (2000, 200) if len(words) > length)
    payloads = map(pack_entry, (entry, *cut, {**entry, "error": None}))
    return next((payload for payload in payloads if -(-len(payload) // SLOT) * SLOT <= most), None)
