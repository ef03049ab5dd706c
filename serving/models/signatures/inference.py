"""`infer_signature`: what goes into a model, what comes out, and its parameters, from examples or type hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, cast

import numpy as np

from ....errors import ModelError
from ...runtime.signature import Array, Column, Fields, Kind, Param, Signature, Tensor
from ...runtime.signature.cells import as_mapping
from .hints import columns_of_class, fields_of_hint, is_hint, is_record_class, signature_of_hints
from .tables import columns_of, is_table
from .values import as_column, kind_of_dtype, kind_of_each

__all__ = ["infer_outputs", "infer_signature"]

_DTYPES = {"boolean": "bool", "long": "int64", "double": "float64", "string": "str"}


def infer_signature(
    inputs: Any, outputs: Any = None, params: Mapping[str, Any] | Sequence[Param] | None = None
) -> Signature:
    """Infer a signature from data or type hints.

    Args:
        inputs: A DataFrame of pandas or polars, an Arrow table, an array or sparse matrix, a dict of arrays, of lists
            or of single values, a list of numbers, texts, rows or dicts; or a type such as `list[str]`, a pydantic
            model, a dataclass, a function with type hints, or an object whose `predict` has them. The first dimension
            is free: any number of rows.
        outputs: What the model answered to it, or its type; left out, the outputs stay unknown.
        params: Inference parameters with their defaults.

    Raises:
        ModelError: A column holds values of a type that a signature cannot say.
    """
    hinted = signature_of_hints(inputs) if not is_hint(inputs) and _is_model(inputs) else None
    if hinted is None and not is_hint(inputs) and _is_model(inputs):
        raise ModelError("The function's type hints do not say what it takes; annotate its data, or give an example.")
    found = hinted.inputs if hinted else _fields(inputs)
    if not found:
        raise ModelError(f"No signature can be inferred from {_shown(inputs)}; give an array, a table, lists or dicts.")
    answered = hinted.outputs if hinted and outputs is None else infer_outputs(outputs)
    return Signature(found, answered, _params(params))


def _is_model(data: Any) -> bool:
    if hasattr(data, "__array__") or is_table(data) or isinstance(data, (Mapping, list)):
        return False
    return callable(data) or callable(getattr(data, "predict", None))


def infer_outputs(outputs: Any) -> Fields:
    """Give what a model answered as columns or tensors; empty where a signature cannot say it."""
    try:
        return () if outputs is None else _fields(outputs)
    except ModelError:
        return ()  # a model may answer anything


def _fields(data: Any) -> Fields:  # noqa: PLR0911 - one per form
    if is_hint(data):
        return fields_of_hint(data)
    if is_table(data):
        return columns_of(data)
    if hasattr(data, "toarray") and hasattr(data, "nnz"):
        return _tensor(None, data)
    if hasattr(data, "__array__") and not isinstance(data, np.generic):
        return _array(np.asarray(data))
    kind = cast("type", type(data))  # pyright: ignore[reportUnknownArgumentType]
    if is_record_class(kind):
        return columns_of_class(kind)
    if isinstance(data, Mapping):
        return _mapping(cast("Mapping[Any, Any]", data))
    if isinstance(data, (list, tuple)):
        return _list(list(cast("Sequence[Any]", data)))
    return (Column(None, kind_of_each([data], "The example")[0]),)


def _array(array: Any) -> Fields:
    if array.dtype.names:
        return tuple(_structured(name, array.dtype[name]) for name in array.dtype.names)
    return _tensor(None, array)


def _structured(name: str, dtype: Any) -> Column:
    kind: Kind | None = kind_of_dtype(dtype.base)
    if kind is None:
        raise ModelError(f"Column {name!r} has the type {dtype}, which a signature cannot say; give a table.")
    for _ in dtype.shape:
        kind = Array(kind)
    return Column(name, kind)


def _tensor(name: str | None, array: Any) -> tuple[Tensor, ...]:
    if not array.shape:
        return ()
    dtype: str = {"U": "str", "S": "bytes"}.get(str(array.dtype.kind)) or array.dtype.name
    return (Tensor(dtype, (-1, *array.shape[1:]), name),)


def _mapping(data: Mapping[Any, Any]) -> Fields:
    if not all(isinstance(name, str) for name in data):
        raise ModelError("The keys of the example are not all text; name its columns by text.")
    if data and all(isinstance(value, np.ndarray) and value.ndim for value in data.values()):
        return tuple(tensor for name, array in data.items() for tensor in _tensor(name, array))
    if data and all(isinstance(value, (list, tuple)) for value in data.values()):
        lengths = {len(value) for value in data.values()}
        if len(lengths) == 1:
            return tuple(_column(name, value) for name, value in data.items())
    return tuple(_column(name, [value]) for name, value in data.items())


def _list(rows: list[Any]) -> Fields:
    records = [as_mapping(row) for row in rows]
    if rows and all(record is not None for record in records):
        first: type[Any] = rows[0].__class__
        if is_record_class(first) and all(type(row) is first for row in rows):
            return columns_of_class(first)
        return _records(cast("list[Mapping[str, Any]]", records))
    if rows and all(isinstance(row, np.ndarray) for row in rows) and len({row.shape for row in rows}) == 1:
        return _tensor(None, np.stack(rows))
    if not rows:
        return ()
    kind, missing = kind_of_each(rows, "The example")
    return _regular(rows, kind) or (as_column(None, kind, missing=missing),)


def _records(rows: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    names = dict.fromkeys(name for row in rows for name in row)
    found: list[Column] = []
    for name in names:
        column = _column(str(name), [row[name] for row in rows if name in row])
        whole = all(name in row for row in rows)
        found.append(column if whole else Column(column.name, column.type, required=False))
    return tuple(found)


def _column(name: str, values: Sequence[Any]) -> Column:
    kind, missing = kind_of_each(values, f"Column {name!r}")
    return as_column(name, kind, missing=missing)


def _regular(rows: list[Any], kind: Kind) -> Fields:
    """Give the tensor that numbers, booleans or texts make, nested to any depth; empty where rows differ in length."""
    depth = 1
    while isinstance(kind, Array):
        kind, depth = kind.items, depth + 1
    if kind not in _DTYPES:
        return ()
    array = np.array(rows, dtype=object) if depth > 1 else np.empty(len(rows), dtype=object)
    if array.ndim != depth:
        return ()
    if kind == "long" and any(value is None for value in rows):
        kind = "double"
    return (Tensor(_DTYPES[str(kind)], (-1, *array.shape[1:])),)


def _params(params: Mapping[str, Any] | Sequence[Param] | None) -> tuple[Param, ...]:
    if isinstance(params, Mapping):
        return tuple(_param(name, value) for name, value in params.items())
    return tuple(params or ())


def _param(name: str, value: Any) -> Param:
    value = value.tolist() if isinstance(value, np.ndarray) else value
    kind, _ = kind_of_each([value], f"Param {name!r}")
    many = isinstance(kind, Array)
    inner = kind.items if isinstance(kind, Array) else kind
    if inner in ("any", "binary") or isinstance(inner, Array):
        raise ModelError(
            f"Param {name!r} is {_shown(value)}, of which no type can be inferred;"
            " give a number, text, boolean, datetime, a list of one of these, or a dict."
        )
    return Param(name, inner, _written(value), (-1,) if many else None)


def _written(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_written(one) for one in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        return {name: _written(one) for name, one in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, np.generic):
        return _written(cast("Any", value).item())
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"a {type(value).__name__}"
