"""The columns of tables: pandas, polars and Arrow say most of it in their own types."""

from __future__ import annotations

from typing import Any

from ....errors import ModelError
from ...runtime.signature import Array, Column, Kind, Map, Object, Property
from ...runtime.signature.tables import is_frame
from .values import as_column, kind_of_dtype, kind_of_each

__all__ = ["columns_of", "is_table"]


def is_table(data: Any) -> bool:
    """Whether data is a table, or a column of one."""
    return any(is_frame(data, name, library) for name, library in _TABLES)


_TABLES = (
    ("DataFrame", "pandas"), ("Series", "pandas"), ("DataFrame", "polars"), ("Series", "polars"),
    ("Table", "pyarrow"), ("RecordBatch", "pyarrow"),
)  # fmt: skip


def columns_of(table: Any) -> tuple[Column, ...]:
    """Give the columns of a table.

    Raises:
        ModelError: One of them holds what a signature cannot say.
    """
    if is_frame(table, "Series") or is_frame(table, "Series", "polars"):
        column = _pandas if is_frame(table, "Series") else _polars
        return (column(None if table.name in (None, "") else str(table.name), table),)
    if is_frame(table):
        return _of_frame(table)
    if is_frame(table, library="polars"):
        return tuple(_polars(name, table[name]) for name in table.columns)
    return tuple(_arrow(name, table[name]) for name in table.column_names)


def _of_frame(frame: Any) -> tuple[Column, ...]:
    labels = frame.columns.tolist()
    if labels == list(range(len(labels))):  # nobody gave them names
        return tuple(_pandas(None, frame.iloc[:, place]) for place in range(len(labels)))
    names = [str(label) for label in labels]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ModelError(f"The table has two columns {twice!r}; give each its own name.")
    return tuple(_pandas(name, frame.iloc[:, place]) for place, name in enumerate(names))


def _pandas(name: str | None, series: Any) -> Column:
    dtype = series.dtype
    if hasattr(dtype, "categories"):
        return _pandas(name, series.astype(dtype.categories.dtype if len(dtype.categories) else "object"))
    if str(dtype).startswith(("str", "large_string")):
        return Column(name, "string")
    if dtype.kind in "biufMS" and _is_long(series):
        kind = kind_of_dtype(dtype)
        if kind is not None:
            return as_column(name, kind, missing=kind != "datetime" and bool(series.hasnans))
    if dtype.kind != "O":
        raise _unsayable(name, dtype)
    return _of_values(name, series.tolist())


def _polars(name: str | None, series: Any) -> Column:
    if str(series.dtype) == "Object":
        return _of_values(name, series.to_list())
    return as_column(name, _polars_kind(name, series.dtype), missing=bool(series.null_count()))


def _polars_kind(name: str | None, dtype: Any) -> Kind:
    word = str(dtype.base_type())
    if word in ("List", "Array"):
        return Array(_polars_kind(name, dtype.inner))
    if word == "Struct":
        return Object(tuple(Property(one.name, _polars_kind(name, one.dtype), required=False) for one in dtype.fields))
    kind = _POLARS.get(word)
    if kind is None:
        raise _unsayable(name, dtype)
    return kind


_POLARS = {
    "Boolean": "boolean", "Int8": "integer", "Int16": "integer", "Int32": "integer", "Int64": "long",
    "UInt8": "integer", "UInt16": "integer", "UInt32": "long", "Float32": "float", "Float64": "double",
    "String": "string", "Categorical": "string", "Enum": "string", "Binary": "binary", "Date": "datetime",
    "Datetime": "datetime", "Null": "any",
}  # fmt: skip


def _arrow(name: str, column: Any) -> Column:
    return as_column(name, _arrow_kind(name, column.type), missing=bool(column.null_count))


def _arrow_kind(name: str, kind: Any) -> Kind:
    import pyarrow as pa

    are: Any = pa.types
    if are.is_dictionary(kind):
        return _arrow_kind(name, kind.value_type)
    if are.is_list(kind) or are.is_large_list(kind) or are.is_fixed_size_list(kind):
        return Array(_arrow_kind(name, kind.value_type))
    if are.is_struct(kind):
        return Object(tuple(Property(one.name, _arrow_kind(name, one.type), not one.nullable) for one in kind))
    if are.is_map(kind) and are.is_string(kind.key_type):
        return Map(_arrow_kind(name, kind.item_type))
    for matches, word in _arrow_words(are):
        if matches(kind):
            return word
    raise _unsayable(name, kind)


def _arrow_words(are: Any) -> tuple[tuple[Any, str], ...]:
    return (
        (are.is_boolean, "boolean"), (are.is_int8, "integer"), (are.is_int16, "integer"), (are.is_int32, "integer"),
        (are.is_uint8, "integer"), (are.is_uint16, "integer"), (are.is_uint32, "long"), (are.is_int64, "long"),
        (are.is_float16, "float"), (are.is_float32, "float"), (are.is_float64, "double"), (are.is_string, "string"),
        (are.is_large_string, "string"), (are.is_string_view, "string"), (are.is_binary, "binary"),
        (are.is_large_binary, "binary"), (are.is_fixed_size_binary, "binary"), (are.is_timestamp, "datetime"),
        (are.is_date, "datetime"), (are.is_null, "any"),
    )  # fmt: skip


def _of_values(name: str | None, values: list[Any]) -> Column:
    kind, missing = kind_of_each(values, f"Column {name!r}")
    return as_column(name, kind, missing=missing)


def _is_long(series: Any) -> bool:
    return not (series.dtype.kind == "u" and series.dtype.itemsize == 8) or not (series.dropna() >= 2**63).any()


def _unsayable(name: str | None, dtype: Any) -> ModelError:
    return ModelError(
        f"Column {name!r} has the type {dtype}, which a signature cannot say;"
        " use numbers, booleans, text, bytes, datetimes, or lists and dicts of them."
    )
