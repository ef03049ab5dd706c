"""The columns of pandas, polars and Arrow tables; each library is only touched by what it has made itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from typing import Any

from ...errors import TrackingError
from .columns import Chunk, Column, column_of_array, column_of_objects, moments, per_second, whole_numbers

__all__ = ["is_of", "table_columns"]

_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}  # as Arrow calls them, and everybody else


def table_columns(data: Any) -> tuple[str, int, Iterator[Column]] | None:
    """Give library, number of rows and columns of a table or series; None for everything else.

    Raises:
        TrackingError: It is a table of a kind that has no content yet.
    """
    readers: dict[str, Callable[[Any], tuple[int, Iterator[Column]] | None]] = {
        "pandas": _pandas,
        "polars": _polars,
        "pyarrow": _arrow,
    }
    for library, read in readers.items():
        if is_of(data, library):
            found = read(data)
            return ("arrow" if library == "pyarrow" else library, *found) if found else None
    return None


def is_of(data: Any, library: str) -> bool:
    """Whether a library, or a subclass of its types, has made this."""
    return library in sys.modules and any(base.__module__.partition(".")[0] == library for base in type(data).__mro__)


def _pandas(data: Any) -> tuple[int, Iterator[Column]] | None:
    if not hasattr(data, "columns"):
        if not hasattr(data, "to_frame"):
            return None
        data = data.to_frame() if hasattr(data, "index") else data.to_frame(index=False)
    return len(data), (_pandas_column(name, series) for name, series in _pandas_series(data))


def _pandas_series(frame: Any) -> Generator[tuple[str, Any]]:
    """Give the columns, and before them what the index holds beyond a numbering of the rows."""
    index = frame.index
    for level, name in enumerate(index.names):
        values = index.get_level_values(level)
        if name is not None or values.dtype.kind not in "iu":
            yield str(name if name is not None else f"index {level}"), values.to_series()
    for position, name in enumerate(frame.columns):
        yield str(name), frame.iloc[:, position]


def _pandas_column(name: str, series: Any) -> Column:
    dtype = series.dtype
    kind = type(dtype).__name__
    if hasattr(dtype, "pyarrow_dtype") or getattr(dtype, "storage", "") == "pyarrow":
        return _arrow_column(name, series.array.__arrow_array__())
    if kind == "CategoricalDtype":
        codes = series.cat.codes.to_numpy()
        values = series.cat.categories.to_numpy(dtype=object)
        taken = [None] * len(codes) if not len(values) else values[codes].tolist()
        return column_of_objects(name, taken, codes < 0)
    if kind == "DatetimeTZDtype":
        return column_of_array(name, series.dt.tz_convert(None).to_numpy(), zone=str(dtype.tz))
    if hasattr(dtype, "numpy_dtype"):  # with a mask
        return column_of_array(name, series.to_numpy(dtype.numpy_dtype, na_value=0), series.isna().to_numpy())
    if kind == "StringDtype" or getattr(dtype, "kind", "") == "O":
        plain = kind == "StringDtype" or not hasattr(dtype, "na_value")
        return column_of_objects(name, (series if plain else series.astype(str)).tolist(), series.isna().to_numpy())
    return column_of_array(name, series.to_numpy())


def _polars(data: Any) -> tuple[int, Iterator[Column]] | None:
    if hasattr(data, "collect"):
        raise TrackingError("A polars LazyFrame has no content yet; log what its collect() gives.")
    if hasattr(data, "to_frame"):
        data = data.to_frame()
    if not hasattr(data, "get_columns"):
        return None
    return data.height, (_polars_column(series) for series in data.get_columns())


def _polars_column(series: Any) -> Column:
    name, kind = series.name, type(series.dtype).__name__
    nulls = series.is_null().to_numpy() if series.null_count() else None
    if series.dtype.is_numeric() and kind != "Decimal":
        filled = series if nulls is None else series.fill_null(0)
        return column_of_array(name, filled.to_numpy(), nulls)
    if kind == "Boolean":
        return column_of_array(name, series.fill_null(value=False).to_numpy(), nulls)
    if kind == "Date":
        return _polars_numbers(name, "date", series, nulls)
    if kind in ("Datetime", "Duration"):
        called = _time_kind(kind == "Datetime", getattr(series.dtype, "time_zone", None))
        return _polars_numbers(name, called, series, nulls, per_second(series.dtype.time_unit))
    if kind in ("Categorical", "Enum"):
        series, kind = series.cast(str), "String"
    if kind in ("String", "Utf8"):
        return Column(name, "string", _polars_texts(series, nulls))
    return column_of_objects(name, series.to_list(), nulls)


def _polars_texts(series: Any, nulls: Any) -> Iterator[Chunk]:
    filled = series if nulls is None else series.fill_null("")
    lengths = filled.str.len_bytes().to_numpy().astype("<i8")
    yield Chunk(len(series), nulls, (lengths, "".join(filled.to_list()).encode()))


def _polars_numbers(name: str, kind: str, series: Any, nulls: Any, unit: int = 0) -> Column:
    counts = series.to_physical().fill_null(0).to_numpy().astype("<i8")
    return Column(name, kind, iter([moments(counts, unit, nulls) if unit else Chunk(len(counts), nulls, (counts,))]))


def _arrow(data: Any) -> tuple[int, Iterator[Column]] | None:
    if not hasattr(data, "column_names"):
        if not hasattr(data, "type") or not hasattr(data, "null_count"):
            return None
        return len(data), iter([_arrow_column("0", data)])
    names = list(data.column_names)
    return data.num_rows, (_arrow_column(name, data.column(position)) for position, name in enumerate(names))


def _arrow_column(name: str, data: Any) -> Column:
    pa = sys.modules["pyarrow"]
    types: Any = pa.types
    chunks = [_decoded(chunk) for chunk in (data.chunks if hasattr(data, "chunks") else [data])]
    kind: Any = data.type.value_type if types.is_dictionary(data.type) else data.type
    kind = getattr(kind, "storage_type", kind)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        columns = [column_of_array(name, _values(chunk), _nulls(chunk)) for chunk in chunks]
        return Column(name, _FLOATS.get(str(kind), str(kind)), (chunk for column in columns for chunk in column.chunks))
    if types.is_date(kind):
        days = (chunk.cast(pa.date32()).view(pa.int32()).cast(pa.int64()) for chunk in chunks)
        return Column(name, "date", (whole_numbers(_values(chunk), _nulls(chunk)) for chunk in days))
    if types.is_timestamp(kind) or types.is_duration(kind):
        called = _time_kind(types.is_timestamp(kind), getattr(kind, "tz", None))
        counts = (chunk.view(pa.int64()) for chunk in chunks)
        return Column(name, called, (moments(_values(one), per_second(kind.unit), _nulls(one)) for one in counts))
    for called, wide in (("string", pa.large_string()), ("binary", pa.large_binary())):
        if str(kind).removeprefix("large_").removesuffix("_view") == called:
            return Column(name, called, (_arrow_texts(chunk.cast(wide)) for chunk in chunks))
    return column_of_objects(name, [value for chunk in chunks for value in chunk.to_pylist()])


def _time_kind(is_moment: bool, zone: str | None) -> str:
    return ("timestamp" if is_moment else "duration") + (f"[{zone}]" if zone else "")


def _decoded(chunk: Any) -> Any:
    if hasattr(chunk, "dictionary_decode"):
        return chunk.dictionary_decode()
    return getattr(chunk, "storage", chunk)  # of an extension type


def _values(chunk: Any) -> Any:
    """Give numbers as they lie in memory; what pyarrow itself would convert them with imports pandas."""
    import numpy as np

    pa = sys.modules["pyarrow"]
    if str(chunk.type) == "bool":
        return _values(chunk.cast(pa.uint8())).view(bool)
    kind = np.dtype(_FLOATS.get(str(chunk.type), str(chunk.type)))
    content = chunk.buffers()[1]
    return np.frombuffer(content if content else b"", kind, len(chunk), chunk.offset * kind.itemsize)


def _nulls(chunk: Any) -> Any:
    return _values(chunk.is_null()) if chunk.null_count else None


def _arrow_texts(chunk: Any) -> Chunk:
    import numpy as np

    pa = sys.modules["pyarrow"]

    nulls = _nulls(chunk)
    filler = "" if str(chunk.type) == "large_string" else b""
    filled = chunk if nulls is None else pa.concat_arrays([chunk.fill_null(filler)])
    _, offsets, content = filled.buffers()
    if not len(filled) or offsets is None:
        return Chunk(0, nulls, (b"", b""))
    bounds = np.frombuffer(offsets, "<i8", len(filled) + 1, filled.offset * 8)
    return Chunk(len(filled), nulls, (np.diff(bounds), memoryview(content)[bounds[0] : bounds[-1]] if content else b""))
