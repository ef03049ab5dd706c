"""Tables and arrays of any library in one canonical form, so that the same content has the same digest.

A column is a type and one or more streams of bytes, cut anywhere: how a library chunks, pads or masks its memory does
not show. Nothing here imports pandas, polars or Arrow: who hands in their data has done so.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import TrackingError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Chunk", "Column", "column_of_array", "column_of_objects", "moments", "per_second", "whole_numbers"]

_STRETCH = 1 << 20  # rows that are looked at in one go
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_TEXTS = (dt.date, dt.time, dt.timedelta)


@dataclass(frozen=True)
class Chunk:
    """Some rows of a column.

    Attributes:
        rows: How many.
        nulls: bool[rows], or None where no value is missing.
        streams: Bytes, the same number of streams in each chunk of a column.
    """

    rows: int
    nulls: npt.NDArray[np.bool_] | None
    streams: tuple[Any, ...]


@dataclass(frozen=True)
class Column:
    """One column, or one array.

    Attributes:
        name: Its name.
        kind: Type of its values, by the same word for every library.
        chunks: Its rows, once.
    """

    name: str
    kind: str
    chunks: Iterator[Chunk]


def column_of_array(name: str, array: Any, nulls: Any = None, *, zone: str = "") -> Column:
    """Give a numpy array, which has at least one dimension; the others are part of its type.

    Args:
        name: Name of the column.
        array: numpy array of any type.
        nulls: bool[n], where values are missing.
        zone: Time zone of moments, which are those of UTC.

    Raises:
        TrackingError: It holds objects that have no stable form.
    """
    kind = array.dtype.kind
    inner = f"[{','.join(map(str, array.shape[1:]))}]" if array.ndim > 1 else ""
    if inner and kind in "OSUMm":
        flat = column_of_array(name, array.reshape(-1), zone=zone)
        return Column(name, flat.kind + inner, flat.chunks)
    if kind in "OSU":
        return column_of_objects(name, array.tolist(), nulls)
    if kind in "Mm":
        return _times(name, array, zone)
    convert = _floats if kind in "fc" else whole_numbers
    parts = ((array[one], None if nulls is None else nulls[one]) for one in _slices(len(array)))
    called = array.dtype.newbyteorder("=").name + inner
    return Column(name, called, (convert(values, missing) for values, missing in parts))


def column_of_objects(name: str, values: Sequence[Any], nulls: Any = None) -> Column:
    """Give Python objects; those of one plain type are what a typed column of it is.

    Raises:
        TrackingError: An object has no stable form.
    """
    import numpy as np

    missing = np.fromiter((_is_missing(one) for one in values), bool, len(values)) if nulls is None else nulls
    there = [one for one, gone in zip(values, missing, strict=True) if not gone]
    types: set[type[Any]] = {type(one) for one in there}
    if not types:
        return Column(name, "null", iter([Chunk(len(values), None, ())]))
    if (kind := _numeric(types)) and (array := _as_array(there, kind)) is not None:
        filled = np.zeros(len(values), array.dtype)
        filled[~missing] = array
        if array.dtype.kind == "M":
            filled[missing] = np.datetime64("NaT")
        return column_of_array(name, filled, missing)
    called, encode = _encoding(types)
    chunks = (_texts(values[part], missing[part], encode) for part in _slices(len(values)))
    return Column(name, called, _named(name, chunks))


def moments(counts: Any, per_second: int, nulls: Any) -> Chunk:
    """Give counts of fractions of seconds as seconds and nanoseconds, so that the unit does not matter."""
    import numpy as np

    seconds, rest = np.divmod(counts.astype("<i8", copy=False), per_second)
    parts = [seconds, rest * (10**9 // per_second)]
    if nulls is not None:
        for part in parts:
            part[nulls] = 0
    return Chunk(len(seconds), nulls, tuple(parts))


def per_second(unit: str) -> int:
    """Give how many of a unit of time are a second."""
    return _PER_SECOND[unit]


def whole_numbers(values: Any, nulls: Any) -> Chunk:
    """Give whole numbers or bools; what is missing is 0."""
    import numpy as np

    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    if nulls is not None and nulls.any():
        values = np.where(nulls, np.zeros(1, values.dtype), values)
    return Chunk(len(values), nulls, (values,))


def _times(name: str, array: Any, zone: str) -> Column:
    import numpy as np

    is_moment = array.dtype.kind == "M"
    unit = str(np.datetime_data(array.dtype)[0])
    if is_moment and unit == "D":
        days = (array[part] for part in _slices(len(array)))
        return Column(name, "date", (whole_numbers(one.astype("<i8"), np.isnat(one)) for one in days))
    if unit not in _PER_SECOND:
        array, unit = array.astype(f"{array.dtype.kind}8[s]"), "s"
    parts = (array[part] for part in _slices(len(array)))
    kind = ("timestamp" if is_moment else "duration") + (f"[{zone}]" if zone else "")
    return Column(name, kind, (moments(one.view("<i8"), _PER_SECOND[unit], np.isnat(one)) for one in parts))


def _floats(values: Any, nulls: Any) -> Chunk:
    """Give floating-point numbers; a missing one and NaN are the same, as they are in most libraries."""
    import numpy as np

    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    odd = np.isnan(values) if nulls is None else np.isnan(values) | nulls
    return Chunk(len(values), None, (np.where(odd, np.full(1, np.nan, values.dtype), values) if odd.any() else values,))


def _numeric(types: set[type[Any]]) -> str | None:
    import numpy as np

    if all(issubclass(one, (bool, np.bool_)) for one in types):
        return "bool"
    if all(issubclass(one, (int, np.integer)) and one is not bool for one in types):
        return "int64"
    if all(issubclass(one, (int, float, np.number)) and one is not bool for one in types):
        return "float64"
    if types == {dt.date}:
        return "datetime64[D]"
    return "datetime64[us]" if types == {dt.datetime} else None


def _as_array(values: list[Any], kind: str) -> Any:
    import numpy as np

    if kind == "datetime64[us]" and any(one.tzinfo for one in values):
        return None
    try:
        return np.array(values, kind)
    except (OverflowError, ValueError, TypeError):
        return None  # numbers longer than 64 bits


def _texts(values: Sequence[Any], missing: Any, encode: Callable[[Any], bytes]) -> Chunk:
    """Give texts or bytes as lengths and content; what is missing has none."""
    import numpy as np

    present = [b"" if gone else encode(value) for value, gone in zip(values, missing, strict=True)]
    return Chunk(len(present), missing, (np.fromiter(map(len, present), "<i8", len(present)), b"".join(present)))


def _encoding(types: set[type[Any]]) -> tuple[str, Callable[[Any], bytes]]:
    if all(issubclass(one, str) for one in types):
        return "string", _encode_text
    if types <= {bytes, bytearray, memoryview}:
        return "binary", bytes
    return "values", _encode_value


def _encode_text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _encode_value(value: Any) -> bytes:
    return json.dumps(value, default=_plain, sort_keys=True).encode()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # of numpy
        return value.tolist()
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": value.hex()}
    if isinstance(value, decimal.Decimal):
        return str(value.normalize())  # some libraries give all values of a column as many digits
    if isinstance(value, _TEXTS):
        return value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)
    raise TypeError(type(value).__name__)


def _named(name: str, chunks: Iterable[Chunk]) -> Generator[Chunk]:
    try:
        yield from chunks
    except (TypeError, ValueError) as error:
        raise TrackingError(
            f"Column {name!r} holds values that have no stable content ({error}); leave it out, or turn it into text."
        ) from error


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124 - NaN


def _slices(count: int) -> Iterator[slice]:
    return (slice(start, start + _STRETCH) for start in range(0, max(count, 1), _STRETCH))
