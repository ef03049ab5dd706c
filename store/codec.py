"""The bytes of a segment: points of one series in columns, each in the smallest of a few plain codings.

A segment is `format (1 byte), count (4 bytes)` and three columns: steps, times, values. A column is `coding (1 byte),
width (1 byte), size (4 bytes), payload`, all little-endian. Steps and times are either a progression (first value and
stride) or a first value with differences of `width` bytes; values are either one constant or floats of `width` bytes,
4 where that loses nothing. A payload may be deflated.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

__all__ = ["Points", "concatenate", "decode", "encode"]

_FORMAT = 2
_HEAD = struct.Struct("<BI")
_COLUMN = struct.Struct("<BBI")
_UNIFORM, _PLAIN, _DEFLATED = 0, 1, 3
_SAMPLE = 4096


@dataclass(frozen=True, eq=False)
class Points:
    """Points of one series in order of arrival.

    Attributes:
        steps: int64[n].
        times: int64[n], milliseconds since 1970, UTC.
        values: float64[n].
    """

    steps: Integers
    times: Integers
    values: Floats

    def __len__(self) -> int:
        return len(self.steps)

    @staticmethod
    def none() -> Points:
        """Give no points."""
        import numpy as np

        return Points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))

    def take(self, positions: Integers) -> Points:
        """Give the points at some positions."""
        return Points(self.steps[positions], self.times[positions], self.values[positions])

    def slice(self, start: int, end: int) -> Points:
        """Give the points from `start` up to `end`, without a copy."""
        return Points(self.steps[start:end], self.times[start:end], self.values[start:end])


def concatenate(parts: list[Points]) -> Points:
    """Join one or more lists of points into one."""
    import numpy as np

    if len(parts) == 1:
        return parts[0]
    return Points(
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def encode(points: Points) -> bytes:
    """Pack at least one point."""
    columns = (_integers(points.steps), _integers(points.times), _floats(points.values))
    return _HEAD.pack(_FORMAT, len(points)) + b"".join(columns)


def decode(data: bytes) -> Points:
    """Unpack a segment.

    Raises:
        ValueError: The bytes are not a segment.
    """
    layout, count = _HEAD.unpack_from(data)
    if layout != _FORMAT:
        raise ValueError(f"a metric segment of the unknown format {layout}")
    columns: list[tuple[int, int, bytes]] = []
    position = _HEAD.size
    for _ in range(3):
        coding, width, size = _COLUMN.unpack_from(data, position)
        position += _COLUMN.size
        payload = data[position : position + size]
        columns.append((coding, width, zlib.decompress(payload) if coding == _DEFLATED else payload))
        position += size
    steps, times, values = columns
    return Points(_read_integers(count, *steps), _read_integers(count, *times), _read_floats(count, *values))


def _integers(column: Integers) -> bytes:
    import numpy as np

    with np.errstate(over="ignore"):  # differences wrap around, and so do the sums that undo them
        differences = column[1:] - column[:-1]
    first = int(column[0])
    stride = int(differences[0]) if len(differences) else 0
    if not len(differences) or bool((differences == stride).all()):
        return _column(_UNIFORM, 8, struct.pack("<qq", first, stride))
    low, high = int(differences.min()), int(differences.max())
    width = next(width for width in (1, 2, 4, 8) if -(1 << 8 * width - 1) <= low and high < 1 << 8 * width - 1)
    payload = struct.pack("<q", first) + differences.astype(f"<i{width}").tobytes()
    return _smaller(width, payload)


def _floats(column: Floats) -> bytes:
    import numpy as np

    bits = column.view(np.int64)
    if bool((bits == bits[0]).all()):
        return _column(_UNIFORM, 8, column[:1].astype("<f8").tobytes())
    with np.errstate(over="ignore", invalid="ignore"):
        short = column.astype("<f4")
        lossless = bool((short.astype(np.float64).view(np.int64) == bits).all())
    return _smaller(4, short.tobytes()) if lossless else _smaller(8, column.astype("<f8").tobytes())


def _smaller(width: int, payload: bytes) -> bytes:
    """Deflate where that saves a tenth; a sample says whether it is worth a try."""
    sample = payload[:_SAMPLE]
    if len(zlib.compress(sample, 1)) < 0.9 * len(sample):
        return _column(_DEFLATED, width, zlib.compress(payload, 1))
    return _column(_PLAIN, width, payload)


def _column(coding: int, width: int, payload: bytes) -> bytes:
    return _COLUMN.pack(coding, width, len(payload)) + payload


def _read_integers(count: int, coding: int, width: int, payload: bytes) -> Integers:
    import numpy as np

    (first,) = struct.unpack_from("<q", payload)
    if coding == _UNIFORM:
        (stride,) = struct.unpack_from("<q", payload, 8)
        if stride == 1 and first < (1 << 63) - count:
            return np.arange(first, first + count, dtype=np.int64)
        with np.errstate(over="ignore"):
            return np.arange(count, dtype=np.int64) * np.int64(stride) + np.int64(first)
    column = np.empty(count, np.int64)
    column[0] = first
    column[1:] = np.frombuffer(payload, f"<i{width}", offset=8)
    return np.cumsum(column, out=column)


def _read_floats(count: int, coding: int, width: int, payload: bytes) -> Floats:
    import numpy as np

    if coding == _UNIFORM:
        return np.repeat(np.frombuffer(payload, "<f8"), count)
    return np.frombuffer(payload, f"<f{width}").astype(np.float64)
