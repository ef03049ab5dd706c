"""Holding a request against the model's signature: what does not fit is refused with a sentence, never guessed."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import BadInput
from .protocol import Table, Tensors
from .signature import Column, Signature, Tensor

__all__ = ["as_model_input"]

_INTEGER_RANGES = {"integer": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}


def as_model_input(request: Table | Tensors, signature: Signature | None) -> Any:
    """Turn a request into what the model takes: a DataFrame where it has columns, else an array.

    Raises:
        BadInput: The request does not fit the signature.
    """
    if signature is not None and signature.columns:
        return _frame(_as_table(request, signature.columns), signature.columns)
    if signature is not None and signature.tensor is not None:
        return _tensor(request, signature.tensor)
    return _untyped(request)


def _as_table(request: Table | Tensors, columns: Sequence[Column]) -> Table:
    if isinstance(request, Tensors):
        rows = request.data
        if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):  # pyright: ignore[reportUnknownVariableType]
            raise BadInput(f"This model takes rows with the columns {_names(columns)}; send a list of rows.")
        request = Table(None, rows)  # pyright: ignore[reportUnknownArgumentType]
    if request.columns is not None:
        return request
    for number, row in enumerate(request.rows, 1):
        if len(row) != len(columns):
            raise BadInput(
                f"Row {number} has {len(row)} values, but this model takes {len(columns)} columns: {_names(columns)}."
            )
    return Table(tuple(column.name or "" for column in columns), request.rows, request.textual)


def _frame(table: Table, columns: Sequence[Column]) -> Any:
    pd = _pandas()
    given = table.columns or ()
    missing = [column for column in columns if column.required and (column.name or "") not in given]
    if missing:
        raise BadInput(f"The column {missing[0].name!r} is missing; this model takes {_names(columns)}.")
    place = {name: index for index, name in enumerate(given)}
    data: dict[str, Any] = {}
    for column in columns:
        name = column.name or ""
        if name in place:
            read = _reader(column, table.textual)
            data[name] = _series([read(row[place[name]]) for row in table.rows], column.type)
    return pd.DataFrame(data)


def _pandas() -> Any:
    import pandas as pd

    return pd


def _series(cells: list[Any], kind: str) -> Any:
    pd = _pandas()
    if kind == "datetime":
        try:
            return pd.to_datetime(pd.Series(cells, dtype=object))
        except (ValueError, TypeError) as error:
            raise BadInput(f"A date cannot be read ({error}); send ISO 8601 text.") from error
    return pd.Series(cells, dtype=_DTYPES[kind])


_DTYPES = {
    "boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64",
    "string": "object", "binary": "object",
}  # fmt: skip


def _reader(column: Column, textual: bool) -> Callable[[Any], Any]:
    convert = _CONVERT[column.type]

    def read(cell: Any) -> Any:
        try:
            return convert(_from_text(cell, column.type) if textual else cell)
        except (ValueError, TypeError, OverflowError) as error:
            shown = repr(cell)
            shown = shown if len(shown) <= 40 else shown[:37] + "..."
            raise BadInput(f"The value {shown} does not fit column {column.name!r}, which is {column.type}.") from error

    return read


def _from_text(cell: str, kind: str) -> Any:
    if kind in ("string", "binary", "datetime"):
        return cell
    if cell == "":
        return None
    if kind == "boolean":
        return {"true": True, "false": False}.get(cell.lower(), cell)
    return int(cell) if kind in _INTEGER_RANGES else float(cell)


def _boolean(cell: Any) -> bool:
    if not isinstance(cell, bool):
        raise TypeError(cell)
    return cell


def _integer(kind: str) -> Callable[[Any], int]:
    low, high = _INTEGER_RANGES[kind]

    def convert(cell: Any) -> int:
        if isinstance(cell, bool) or not isinstance(cell, int) or not low <= cell <= high:
            raise TypeError(cell)
        return cell

    return convert


def _number(cell: Any) -> float:
    if cell is None:
        return float("nan")
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        raise TypeError(cell)
    return float(cell)


def _text(cell: Any) -> str | None:
    if cell is not None and not isinstance(cell, str):
        raise TypeError(cell)
    return cell


def _binary(cell: Any) -> bytes | None:
    return None if cell is None else base64.b64decode(cell, validate=True)


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "boolean": _boolean, "integer": _integer("integer"), "long": _integer("long"), "float": _number,
    "double": _number, "string": _text, "binary": _binary, "datetime": _text,
}  # fmt: skip


def _tensor(request: Table | Tensors, tensor: Tensor) -> npt.NDArray[Any]:
    rows: Any = request.data if isinstance(request, Tensors) else request.rows
    if isinstance(request, Table) and request.textual:
        rows = _numbers(request)
    array = _cast(_array(rows), np.dtype(tensor.dtype))
    expected, shape = tensor.shape, array.shape
    if len(shape) != len(expected) or any(want not in (-1, have) for want, have in zip(expected, shape, strict=False)):
        raise BadInput(f"The input has shape {shape}, but this model takes {expected}, where -1 is any size.")
    return array


def _numbers(table: Table) -> list[list[float]]:
    try:
        return [[float(cell) for cell in row] for row in table.rows]
    except ValueError as error:
        raise BadInput(f"A value of the CSV body is not a number ({error}); this model takes numbers only.") from error


def _array(rows: Any) -> npt.NDArray[Any]:
    try:
        array = np.asarray(rows)
    except (ValueError, OverflowError) as error:
        raise BadInput("The rows differ in length or depth; give each the same shape.") from error
    if array.dtype == object:
        raise BadInput("The input holds nulls, objects or numbers out of range; give plain values.")
    return array


def _cast(array: npt.NDArray[Any], wanted: np.dtype[Any]) -> npt.NDArray[Any]:
    kinds = {"f": "iuf", "c": "iufc", "i": "iuf", "u": "iuf", "b": "b", "U": "U", "S": "U", "O": "iufbU"}
    if array.size == 0:
        return array.astype(wanted)
    if array.dtype.kind not in kinds.get(wanted.kind, ""):
        raise BadInput(f"The input holds values that are not {wanted.name}; give such values only.")
    with np.errstate(invalid="ignore", over="ignore"):
        result = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(result, array):
        raise BadInput(f"The input holds numbers that are no {wanted.name}; give whole numbers in its range.")
    return result


def _untyped(request: Table | Tensors) -> Any:
    if isinstance(request, Tensors):
        return _array(request.data)
    try:
        pd = _pandas()
    except ImportError:
        raise BadInput("This model was saved without column names; send 'instances' or 'inputs'.") from None
    rows = [list(row) for row in request.rows]
    frame = pd.DataFrame(rows, columns=None if request.columns is None else list(request.columns))
    return frame.apply(_read_column) if request.textual else frame


def _read_column(cells: Any) -> Any:
    try:
        return cells.astype(float)
    except (ValueError, TypeError):
        return cells


def _names(columns: Sequence[Column]) -> str:
    return ", ".join(repr(column.name) for column in columns)
