"""Metric series: points packed in columnar segments, with one summary row per series."""

from __future__ import annotations

import math
import sys
import zlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import schema
from .upsert import insert_new, intern

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Point", "SeriesKey", "append_points", "decode", "encode"]

Point = tuple[int, int, float]
"""Step, milliseconds since 1970, value."""

_FORMAT = b"\x01"


@dataclass(frozen=True)
class SeriesKey:
    """Which series a point belongs to."""

    run_id: str
    attempt: int
    name: str


def append_points(connection: Connection, batch: Mapping[SeriesKey, list[Point]]) -> None:
    """Append one segment to each series of the batch and bring its summary up to date."""
    for key, points in batch.items():
        row = _series_row(connection, key)
        connection.execute(sa.insert(schema.segments).values(series_id=row.id, count=len(points), data=encode(points)))
        connection.execute(sa.update(schema.series).where(schema.series.c.id == row.id).values(**_summary(row, points)))


def _series_row(connection: Connection, key: SeriesKey) -> Any:
    table = schema.series
    name_id = intern(connection, schema.names, key.name)
    query = (
        sa.select(table)
        .where(table.c.run_id == key.run_id, table.c.attempt == key.attempt, table.c.name_id == name_id)
        .with_for_update()
    )
    row = connection.execute(query).first()
    if row is None:
        empty = {"run_id": key.run_id, "attempt": key.attempt, "name_id": name_id}
        insert_new(connection, table, {**empty, "count": 0, "last_step": -(2**63), "last_at": 0})
        row = connection.execute(query).one()
    return row


def _summary(row: Any, points: Iterable[Point]) -> dict[str, Any]:
    step, at, last, low, high = row.last_step, row.last_at, row.last, row.min, row.max
    count = row.count
    for point_step, point_at, value in points:
        count += 1
        kept = None if math.isnan(value) else value
        if (point_step, point_at) >= (step, at):
            step, at, last = point_step, point_at, kept
        if kept is not None:
            low = kept if low is None else min(low, kept)
            high = kept if high is None else max(high, kept)
    return {"count": count, "last_step": step, "last_at": at, "last": last, "min": low, "max": high}


def encode(points: list[Point]) -> bytes:
    """Pack points as little-endian columns: steps and times as differences, then values; each compressed."""
    steps, times, values = zip(*points, strict=True)
    columns = (_differences(steps), _differences(times), array("d", values))
    packed = [zlib.compress(_little(column), 1) for column in columns]
    sizes = array("I", [len(points), *(len(part) for part in packed)])
    return _FORMAT + _little(sizes) + b"".join(packed)


def _differences(numbers: tuple[int, ...]) -> array[int]:
    wrapped = [numbers[0], *(_wrap(b - a) for a, b in pairwise(numbers))]
    return array("q", wrapped)


def _wrap(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63


def _little(column: array[Any]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def decode(data: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Unpack a segment into steps, times and values, in order of arrival."""
    import numpy as np

    sizes = np.frombuffer(data, "<u4", 4, 1)
    ends = 17 + np.cumsum(sizes[1:])
    steps, times, values = (
        zlib.decompress(data[int(end) - int(size) : int(end)]) for end, size in zip(ends, sizes[1:], strict=True)
    )
    return (
        np.cumsum(np.frombuffer(steps, "<i8"), dtype=np.int64),
        np.cumsum(np.frombuffer(times, "<i8"), dtype=np.int64),
        np.frombuffer(values, "<f8").astype(np.float64),
    )
