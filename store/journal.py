"""The journal: a local file in which a point is safe from the death of its process before `log_metric` returns.

Every record is `kind (1 byte), length (4 bytes), payload`. A file begins with a header record that names its owner
and its store; a series is named once, by a key record, before its first point. The database remembers up to which
offset a journal was applied, in the same transaction as the points themselves: a replay adds nothing twice.
"""

from __future__ import annotations

import json
import os
import struct
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import StoreError
from ..processes import Owner, is_alive, this_process
from .series import Point, SeriesKey

__all__ = ["Journal", "JournalFile", "abandoned", "read_points"]

_FRAME = struct.Struct("<BI")
_POINT = struct.Struct("<Iqqd")
_POINT_RECORD = struct.Struct("<BIIqqd")
_HEADER, _KEY, _VALUE = 1, 2, 3


@dataclass(frozen=True)
class JournalFile:
    """A journal as it lies on disk."""

    path: Path
    id: str
    owner: Owner
    store: str


class Journal:
    """The journal that this process writes. Not safe for threads by itself: its writer holds a lock."""

    def __init__(self, folder: Path, store_url: str) -> None:
        self.id = uuid.uuid4().hex
        self.path = folder / f"{self.id}.journal"
        self.offset = 0
        self._keys: dict[SeriesKey, int] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"The journal {self.path} cannot be made ({error.strerror}); set PREFECT_ML_JOURNAL."
            ) from error
        header = {"id": self.id, "owner": asdict(this_process()), "store": store_url}
        self._append(_frame(_HEADER, json.dumps(header).encode()))

    def add(self, key: SeriesKey, point: Point) -> None:
        """Append one point.

        Raises:
            StoreError: The disk is full or gone; the point is not safe.
        """
        number = self._keys.get(key)
        if number is None:
            number = self._name(key)
        self._append(_POINT_RECORD.pack(_VALUE, _POINT.size, number, *point))

    def discard(self) -> None:
        """Close and remove the file, once all of it is in the database."""
        os.close(self._fd)
        self.path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Close the file and leave it: in a forked child it is the parent's."""
        os.close(self._fd)

    def _name(self, key: SeriesKey) -> int:
        number = len(self._keys)
        self._append(_frame(_KEY, json.dumps([number, key.run_id, key.attempt, key.name]).encode()))
        self._keys[key] = number
        return number

    def _append(self, record: bytes) -> None:
        try:
            written = os.write(self._fd, record)
            if written != len(record):
                os.ftruncate(self._fd, self.offset)
                raise OSError(28, "No space left on device")
        except OSError as error:
            raise StoreError(
                f"The journal {self.path} cannot be written ({error.strerror}); make room on that disk."
            ) from error
        self.offset += len(record)


def abandoned(folder: Path, store_url: str) -> list[JournalFile]:
    """Give the journals for this store whose owners have died."""
    files = [_read_header(path) for path in sorted(folder.glob("*.journal"))]
    return [file for file in files if file and file.store == store_url and not is_alive(file.owner)]


def read_points(file: JournalFile, start: int) -> Iterator[tuple[SeriesKey, Point, int]]:
    """Read the points at or after the offset `start`, each with the offset behind it; a torn tail ends the reading."""
    keys: dict[int, SeriesKey] = {}
    data = file.path.read_bytes()
    for kind, payload, end in _frames(data):
        if kind == _KEY:
            number, run_id, attempt, name = json.loads(payload)
            keys[number] = SeriesKey(run_id, attempt, name)
        elif kind == _VALUE and end > start:
            number, step, at, value = _POINT.unpack(payload)
            yield keys[number], (step, at, value), end


def _frame(kind: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, len(payload)) + payload


def _frames(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    position = 0
    while position + _FRAME.size <= len(data):
        kind, length = _FRAME.unpack_from(data, position)
        end = position + _FRAME.size + length
        if end > len(data):
            return
        yield kind, data[position + _FRAME.size : end], end
        position = end


def _read_header(path: Path) -> JournalFile | None:
    try:
        with path.open("rb") as file:
            kind, length = _FRAME.unpack(file.read(_FRAME.size))
            header = json.loads(file.read(length))
        return JournalFile(path, header["id"], Owner(**header["owner"]), header["store"]) if kind == _HEADER else None
    except (OSError, struct.error, ValueError, KeyError, TypeError):
        return None  # being made at this moment, or removed, or not a journal: nothing to recover
