"""The journal: memory-mapped local files in which a write is safe from the death of its process before it returns.

A journal file has a fixed size; its blocks are on disk before it is mapped, so that a full disk is an error and not a
killed process. When it is full, the next one begins; where the disk has no room for that, a reserve at the end of each
file still takes the ends of runs. After the header, records lie in slots of 32 bytes: `step, time,
value, key, kind`. The kind comes last, and with it a record counts: a process killed before leaves a free slot, where
reading ends. A text entry or a block of points has its payload in the slots behind, written before its first slot; a
checksum stands in the place of the time, because a machine that dies may bring a slot to the disk and not its payload.

A living process holds a POSIX lock on each of its files. Forked children do not inherit it, the system releases it
when the process dies, and it means the same inside and outside a container.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import mmap
import os
import struct
import time
import zlib
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .codec import Points, concatenate

__all__ = [
    "IS_POINT",
    "SLOT",
    "START",
    "Abandoned",
    "Batch",
    "Entry",
    "Glimpse",
    "JournalFile",
    "SeriesKey",
    "abandoned",
    "glimpse",
    "key_entry",
    "pack_entry",
    "pack_point",
    "read_batch",
]

SLOT = 32
START = 512  # the first record
_STRETCH = 1 << 16  # slots that are looked at in one go
_STILLBORN_SECONDS = 3600  # a file that has no header by then never gets one
_MAGIC = b"prefect-ml 2\n"
_POINT = struct.Struct("<qqdII")
_IS_ENTRY, _IS_BLOCK = 2, 3
_COLUMNS = (("step", "int64"), ("time", "int64"), ("value", "float64"))

pack_point = _POINT.pack_into
IS_POINT = 1


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """Which series a point belongs to."""

    run_id: str
    attempt: int
    name: str


Entry = dict[str, Any]
"""A write other than points, as JSON has it; `store/entries.py` knows the kinds."""


@dataclass
class Batch:
    """What a stretch of a journal holds.

    Attributes:
        points: Points of each series in order of arrival.
        entries: The other writes, each with the offset behind it, in order.
    """

    points: dict[SeriesKey, Points] = field(default_factory=dict[SeriesKey, "Points"])
    entries: list[tuple[int, Entry]] = field(default_factory=list[tuple[int, Entry]])

    def __len__(self) -> int:
        return len(self.entries) + sum(len(points) for points in self.points.values())


class JournalFile:
    """One file that this process writes. Not safe for threads by itself: its writer holds a lock.

    Attributes:
        id: Under which the database remembers how much of it was applied.
        offset: End of what was written.
        applied: End of what is in the database.
        limit: Where the reserve begins, which only the ends of runs may use.
        keys: Series by number, as far as the file was read.
    """

    __slots__ = ("_fd", "_named", "_size", "applied", "id", "keys", "limit", "map", "offset", "path")

    def __init__(self, folder: Path, store_key: str, size: int, file_id: str, *, reserve: int = 0) -> None:
        self.id = file_id
        self.path = folder / f"{self.id}.journal"
        self._size = size
        self.limit = size - reserve
        self.offset = self.applied = START
        self._named = 0
        self.keys: dict[int, SeriesKey] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                self._lay(store_key)
            except OSError:
                os.close(self._fd)
                self.path.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StoreError(
                f"The journal {self.path} cannot be written ({error.strerror});"
                " make room on that disk, or set PREFECT_ML_JOURNAL to a folder on another."
            ) from error

    def add_key(self, key: SeriesKey) -> int:
        """Name a series once, before its first point in this file; give its number. There must be room."""
        number = self._named
        self.add_entry(key_entry(key, number))
        self._named += 1
        return number

    def room(self, payload: int) -> bool:
        """Whether a record with so many bytes behind its first slot still fits."""
        return self.offset + SLOT + _padded(payload) <= self.limit

    @property
    def rest(self) -> int:
        """How many bytes are free, with the reserve."""
        return self._size - self.offset

    def add_entry(self, payload: bytes) -> int:
        """Append an entry, packed, and give the offset behind it; there must be room."""
        with self._interruptible():
            self.map[self.offset + SLOT : self.offset + SLOT + len(payload)] = payload
            return self._commit(_IS_ENTRY, len(payload), zlib.crc32(payload), 0, len(payload))

    def add_block(self, number: int, points: Points) -> int:
        """Append many points of one series and give the offset behind them; there must be room."""
        position, checksum = self.offset + SLOT, 0
        with self._interruptible():
            for column in (points.steps, points.times, points.values):
                payload = column.tobytes()
                self.map[position : position + len(payload)] = payload
                position += len(payload)
                checksum = zlib.crc32(payload, checksum)
            return self._commit(_IS_BLOCK, len(points), checksum, number, 24 * len(points))

    def sync(self) -> None:
        """Bring the file to the disk itself, against the death of the machine."""
        os.fsync(self._fd)

    def discard(self) -> None:
        """Close and remove the file, once all of it is in the database."""
        self.path.unlink(missing_ok=True)
        self.forget()

    def forget(self) -> None:
        """Close the file and leave it: in a forked child it is the parent's."""
        with contextlib.suppress(BufferError):  # a forked child may find it in the middle of a reading
            self.map.close()
        os.close(self._fd)

    def _lay(self, store_key: str) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._fd, 0, self._size)
        elif os.write(self._fd, bytes(self._size)) != self._size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.map = mmap.mmap(self._fd, self._size)
        header = json.dumps({"id": self.id, "store": store_key, "pid": os.getpid()}).encode()
        self.map[len(_MAGIC) : len(_MAGIC) + len(header)] = header
        self.map[: len(_MAGIC)] = _MAGIC

    @contextlib.contextmanager
    def _interruptible(self) -> Generator[None]:
        """Take no more where a signal or a lack of memory has left half a record: what is behind it is no free slot."""
        try:
            yield
        except BaseException:
            self.limit = self._size = self.offset
            raise

    def _commit(self, kind: int, step: int, checksum: int, key: int, payload: int) -> int:
        pack_point(self.map, self.offset, step, checksum, 0.0, key, kind)
        self.offset += SLOT + _padded(payload)
        return self.offset


def pack_entry(entry: Entry) -> bytes:
    """Give the bytes of an entry."""
    return json.dumps(entry).encode()


def key_entry(key: SeriesKey, number: int) -> bytes:
    """Give the bytes of the entry that names a series."""
    return pack_entry({"key": number, "run": key.run_id, "attempt": key.attempt, "name": key.name})


@dataclass(frozen=True)
class Abandoned:
    """A journal file whose process has died; nobody else can take it while this is open."""

    id: str
    path: Path
    data: bytes = field(repr=False)


@contextlib.contextmanager
def abandoned(path: Path, store_key: str) -> Generator[Abandoned | None]:
    """Take a file whose process has died, or give None: it lives, is of another store, or somebody else has it.

    Never ask for a file of this process: closing it a second time would give up its lock.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield None  # removed in this moment, or of another user
        return
    try:
        yield _taken(fd, path, store_key)
    finally:
        os.close(fd)


@dataclass(frozen=True)
class Glimpse:
    """A journal file of another process, as it was at one moment.

    Attributes:
        pid: The process that has written it, as it knows itself.
        lives: Whether that process is still there.
    """

    id: str
    path: Path
    pid: int
    lives: bool
    data: bytes = field(repr=False)


def glimpse(path: Path, store_key: str) -> Glimpse | None:
    """Look at a file without taking it; None where it is of another store, or cannot be read.

    Never ask for a file of this process, nor while it takes one: closing it would give up its lock.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        lives = _is_locked(fd)
        data = os.pread(fd, START, 0)
        header = json.loads(data.removeprefix(_MAGIC).rstrip(b"\0"))
        if header["store"] != store_key:
            return None
        return Glimpse(header["id"], path, header["pid"], lives, data + _rest(fd))
    except (OSError, ValueError, LookupError):  # of another version, or not begun yet
        return None
    finally:
        os.close(fd)


def _is_locked(fd: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _taken(fd: int, path: Path, store_key: str) -> Abandoned | None:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        data = os.pread(fd, START, 0)
        state = os.fstat(fd)
        if not data.startswith(_MAGIC) and time.time() - state.st_mtime > _STILLBORN_SECONDS:
            path.unlink(missing_ok=True)
        if not data.startswith(_MAGIC) or not state.st_nlink:  # its owner is about to begin it, or has removed it
            return None
        header = json.loads(data[len(_MAGIC) :].rstrip(b"\0"))
        whole = data + _rest(fd)
    except (OSError, ValueError):
        return None
    return Abandoned(header["id"], path, whole) if header.get("store") == store_key else None


def _rest(fd: int) -> bytes:
    parts: list[bytes] = []
    position = START
    while part := os.pread(fd, 1 << 24, position):  # any other way to read would close the file, and lose the lock
        parts.append(part)
        position += len(part)
    return b"".join(parts)


def read_batch(
    data: bytes | mmap.mmap, keys: dict[int, SeriesKey], start: int = START, end: int | None = None
) -> tuple[Batch, int]:
    """Read the records between two offsets.

    Args:
        data: The file, from its first byte.
        keys: The series that were named before `start`; those that are named behind it are added.
        start: Offset of the first record.
        end: Where to stop at the latest; a free slot and a record with a wrong checksum end the reading, too.

    Returns:
        What was found, and the offset behind the last record.
    """
    return _Reader(data, keys, start, end).read()


class _Reader:
    """Reads points in bulk: the records of a journal are points, with few others between them."""

    def __init__(self, data: bytes | mmap.mmap, keys: dict[int, SeriesKey], start: int, end: int | None) -> None:
        self._data = data
        self._keys = keys
        self._start = start
        self._end = len(data) if end is None else end
        self._parts: dict[int, list[Points]] = defaultdict(list)
        self._entries: list[tuple[int, Entry]] = []

    def read(self) -> tuple[Batch, int]:
        import numpy as np

        count = (self._end - self._start) // SLOT
        slots: Any = np.frombuffer(self._data, _slot_type(), count, self._start)
        index = 0
        while index < count:
            others = np.flatnonzero(slots["kind"][index : index + _STRETCH] != IS_POINT)
            ahead = int(others[0]) if len(others) else min(_STRETCH, count - index)
            self._take_points(slots[index : index + ahead])
            index += ahead
            if len(others):
                taken = self._take_other(slots[index], self._start + index * SLOT)
                if not taken:
                    break
                index += taken
        # A series without a name is one whose naming a machine that died has not brought to the disk.
        named = {number: parts for number, parts in self._parts.items() if number in self._keys}
        points = {self._keys[number]: concatenate(parts) for number, parts in named.items()}
        return Batch(points, self._entries), self._start + index * SLOT

    def _take_points(self, slots: Any) -> None:
        import numpy as np

        if not len(slots):
            return
        numbers = slots["key"]
        last = int(numbers.max())
        # A stable sort of 16-bit numbers takes linear time.
        order = np.argsort(numbers.astype(np.uint16) if last < 1 << 16 else numbers, kind="stable")
        ordered = numbers[order]
        for chosen in np.split(order, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1):
            number = int(numbers[chosen[0]])
            columns = (slots[name][chosen].astype(kind) for name, kind in _COLUMNS)
            self._parts[number].append(Points(*columns))

    def _take_other(self, slot: Any, position: int) -> int:
        """Take an entry or a block; give how many slots it covers, 0 where there is none."""
        kind, length = int(slot["kind"]), int(slot["step"])
        size = length if kind == _IS_ENTRY else 24 * length
        behind = position + SLOT + _padded(size)
        if kind not in (_IS_ENTRY, _IS_BLOCK) or not 0 <= length <= self._end or behind > self._end:
            return 0
        payload = self._data[position + SLOT : position + SLOT + size]
        if zlib.crc32(payload) != int(slot["time"]):
            return 0
        if kind == _IS_ENTRY:
            self._take_entry(json.loads(payload), behind)
        else:
            self._parts[int(slot["key"])].append(_read_block(payload, length))
        return (behind - position) // SLOT

    def _take_entry(self, entry: Entry, behind: int) -> None:
        if "do" not in entry:
            self._keys[entry["key"]] = SeriesKey(entry["run"], entry["attempt"], entry["name"])
        else:
            self._entries.append((behind, entry))


def _read_block(payload: bytes, count: int) -> Points:
    import numpy as np

    columns = [np.frombuffer(payload, kind, count, 8 * count * place) for place, (_, kind) in enumerate(_COLUMNS)]
    return Points(*columns)


@functools.cache
def _slot_type() -> Any:
    import numpy as np

    return np.dtype([("step", "<i8"), ("time", "<i8"), ("value", "<f8"), ("key", "<u4"), ("kind", "<u4")])


def _padded(size: int) -> int:
    return -(-size // SLOT) * SLOT
