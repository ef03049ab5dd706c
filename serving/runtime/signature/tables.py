"""What people give where a model takes columns: the values of each, whatever holds them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from ..errors import BadInput
from ..protocol import Named, Records, Table, Tensors
from .cells import as_mapping
from .column_fit import ABSENT, ColumnFit
from .kinds import Array
from .sentences import listed

__all__ = ["fitted", "is_frame"]


def is_frame(data: Any, name: str = "DataFrame", library: str = "pandas") -> bool:
    """Whether data is a class of a library, which is imported if it is."""
    module = sys.modules.get(library)
    return module is not None and isinstance(data, getattr(module, name))


def fitted(data: Any, fits: Sequence[ColumnFit]) -> list[Any]:
    """Give the fitted values of each column, in the order of the signature; None for an optional one that is absent.

    Raises:
        BadInput: The data does not fit.
    """
    if is_frame(data, library="polars"):
        return _by_name(data.columns, lambda name: _polars(data[name]), fits)
    if is_frame(data, "Table", "pyarrow") or is_frame(data, "RecordBatch", "pyarrow"):
        return _by_name(data.column_names, lambda name: _arrow(data[name]), fits)
    if isinstance(data, np.ndarray):
        return _from_array(cast("Any", data), fits)
    return _from_plain(data, fits)


def _from_plain(data: Any, fits: Sequence[ColumnFit]) -> list[Any]:  # noqa: PLR0911 - one per form
    if isinstance(data, Table):
        return _from_rows(data.rows, data.columns, fits, wire=True, textual=data.textual)
    if isinstance(data, Records):
        return _from_records(data.rows, fits, wire=True)
    if isinstance(data, Named):
        return _from_mapping(data.values, fits, wire=True)
    if isinstance(data, Tensors):
        return _from_plain_list(data.data, fits, wire=True)
    row = as_mapping(data)
    if row is not None:
        return _from_mapping(row, fits, wire=False)
    if is_frame(data, "Series"):
        return _from_series(data, fits)
    return _from_plain_list(data, fits, wire=False)


def _by_name(names: Sequence[str], get: Callable[[str], Any], fits: Sequence[ColumnFit]) -> list[Any]:
    if fits[0].column.name is None:
        _same_number(len(names), fits)
        return [_fit(fit, get(name)) for fit, name in zip(fits, names, strict=True)]
    known = set(names)
    return [_fit(fit, get(fit.label)) if fit.label in known else _absent(fit, fits, names) for fit in fits]


def _fit(fit: ColumnFit, values: Any, *, wire: bool = False) -> Any:
    return fit.array(cast("Any", values)) if isinstance(values, np.ndarray) else fit.values(values, wire=wire)


def _absent(fit: ColumnFit, fits: Sequence[ColumnFit], given: Iterable[Any]) -> None:
    if fit.column.required:
        wanted = {one.label for one in fits}
        raise fit.missing(label for label in given if label not in wanted)


def _polars(column: Any) -> Any:
    plain = column.dtype.is_numeric() or str(column.dtype) == "Boolean"
    return column.to_numpy() if plain and not column.null_count() else column.to_list()


def _arrow(column: Any) -> Any:
    import pyarrow as pa

    kind = column.type
    are: Any = pa.types
    plain = are.is_integer(kind) or are.is_floating(kind) or are.is_boolean(kind)
    if not plain or column.null_count:
        return column.to_pylist()
    return column.to_numpy(zero_copy_only=False) if isinstance(column, cast("Any", pa).Array) else column.to_numpy()


def _from_array(array: Any, fits: Sequence[ColumnFit]) -> list[Any]:
    if array.dtype.names:
        return _by_name(array.dtype.names, lambda name: array[name], fits)
    if array.ndim == 1 and len(fits) == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2:
        raise BadInput(f"An array of shape {array.shape} is no table; this model takes {_names(fits)}.")
    _same_number(array.shape[1], fits)
    return [fit.array(array[:, place]) for place, fit in enumerate(fits)]


def _from_series(series: Any, fits: Sequence[ColumnFit]) -> list[Any]:
    if len(fits) == 1:
        return [fits[0].series(series)]
    return _from_mapping(dict(zip(map(str, series.index), series.tolist(), strict=True)), fits, wire=False)


def _from_plain_list(data: Any, fits: Sequence[ColumnFit], *, wire: bool) -> list[Any]:
    if not isinstance(data, (list, tuple)):
        if len(fits) == 1 and not wire and isinstance(data, (str, bytes, int, float)):
            return [fits[0].values([data])]
        raise BadInput(f"This model takes rows with {_names(fits)}, not a {type(data).__name__}; send a table.")
    rows: Any = list(cast("Sequence[Any]", data))
    if len(fits) == 1 and fits[0].column.name is None:
        return [fits[0].values(rows, wire=wire)]
    records = [as_mapping(row) for row in rows]
    if rows and all(record is not None for record in records):
        return _from_records(cast("Any", records), fits, wire=wire)
    if len(fits) == 1 and not any(isinstance(row, (list, tuple, np.ndarray)) for row in rows):
        return [fits[0].values(rows, wire=wire)]
    return _from_rows(rows, None, fits, wire=wire)


def _from_records(rows: Sequence[Mapping[str, Any]], fits: Sequence[ColumnFit], *, wire: bool) -> list[Any]:
    if fits[0].column.name is None:
        return [fits[0].values(rows, wire=wire)] if len(fits) == 1 else _from_rows(
            [list(row.values()) for row in rows], None, fits, wire=wire
        )  # fmt: skip
    found: list[Any] = []
    for fit in fits:
        values = [row.get(fit.label, ABSENT) for row in rows]
        absent = bool(values) and all(value is ABSENT for value in values)
        found.append(_absent(fit, fits, rows[0]) if absent else fit.values(values, wire=wire))
    return found


def _from_mapping(data: Mapping[str, Any], fits: Sequence[ColumnFit], *, wire: bool) -> list[Any]:
    """Read columns by name, or a single row: that is where every value is what one cell of its column would be."""
    if fits[0].column.name is None:
        if wire:
            raise BadInput("The columns of this model have no names; send a list of rows.")
        return _from_records([data], fits, wire=wire)
    given = [(fit, data[fit.label]) for fit in fits if fit.label in data]
    single = [_is_cell(value, fit) for fit, value in given]
    if all(single):
        return _from_records([data], fits, wire=wire)
    if any(single):
        odd = given[single.index(True)][0]
        raise BadInput(f"The column {odd.label!r} has one value, where others have a list; give one for each row.")
    _same_length([(fit.label, value) for fit, value in given])
    return _by_name_of(data, fits, wire=wire)


def _by_name_of(data: Mapping[str, Any], fits: Sequence[ColumnFit], *, wire: bool) -> list[Any]:
    return [_fit(fit, data[fit.label], wire=wire) if fit.label in data else _absent(fit, fits, data) for fit in fits]


def _is_cell(value: Any, fit: ColumnFit) -> bool:
    if not _is_list(value):
        return True
    first: Any = value[0] if len(value) else None
    return isinstance(fit.column.type, Array) and not _is_list(first)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _from_rows(
    rows: Sequence[Any], names: Sequence[str] | None, fits: Sequence[ColumnFit], *, wire: bool, textual: bool = False
) -> list[Any]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, (list, tuple, np.ndarray)):
            raise BadInput(f"Row {number} is a {type(row).__name__}; this model takes rows with {_names(fits)}.")
        if names is None:
            _same_number(len(cast("Any", row)), fits, f"Row {number}")
    places = dict(zip(names or (), range(len(names or ())), strict=True))
    positional = names is None or fits[0].column.name is None
    if positional and names is not None:
        _same_number(len(names), fits)
    found: list[Any] = []
    for number, fit in enumerate(fits):
        place = number if positional else places.get(fit.label)
        if place is None:
            found.append(_absent(fit, fits, names or ()))
            continue
        cells = [row[place] for row in rows]
        found.append(fit.values([_from_text(cell, fit) for cell in cells] if textual else cells, wire=wire))
    return found


def _from_text(cell: str, fit: ColumnFit) -> Any:
    """Read a cell of a CSV file as what its column is; what cannot be read stays text, and is refused as such."""
    kind = fit.column.type
    if kind == "string" or not isinstance(kind, str):
        return cell
    if cell == "":
        return None
    if kind == "boolean":
        return {"true": True, "false": False}.get(cell.lower(), cell)
    try:
        return {"integer": int, "long": int, "float": float, "double": float}[kind](cell)
    except (KeyError, ValueError):
        return cell


def _same_number(count: int, fits: Sequence[ColumnFit], what: str = "The input") -> None:
    if count != len(fits):
        raise BadInput(f"{what} has {count} values a row, but this model takes {len(fits)} columns: {_names(fits)}.")


def _same_length(columns: Sequence[tuple[Any, Any]]) -> None:
    lengths = {len(values) for _, values in columns}
    if len(lengths) > 1:
        raise BadInput("The columns differ in length; give each the same number of values.")


def _names(fits: Sequence[ColumnFit]) -> str:
    if fits[0].column.name is None:
        return "one column" if len(fits) == 1 else f"{len(fits)} columns"
    return f"the columns {listed(str(fit.label) for fit in fits)}"
