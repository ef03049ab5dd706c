"""Finding out a model's signature from an example of its input and output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ...errors import ModelError
from ..runtime.signature import Column, Fields, Signature, Tensor

__all__ = ["infer_signature"]


def infer_signature(inputs: Any, outputs: Any = None) -> Signature:
    """Infer a signature from data.

    Args:
        inputs: Array, list of numbers or rows, or DataFrame. The first dimension is free: any number of rows.
        outputs: What the model answered to it; left out, the outputs stay unknown.

    Raises:
        ModelError: A column holds values of a type that a signature cannot say.
    """
    return Signature(_fields(inputs), () if outputs is None else _fields(outputs))


def _fields(data: Any) -> Fields:
    if hasattr(data, "columns") and hasattr(data, "dtypes"):
        return tuple(_column(str(name), data[name]) for name in data.columns)
    if hasattr(data, "to_frame") and hasattr(data, "dtype"):
        return (_column(None if data.name is None else str(data.name), data),)
    if hasattr(data, "toarray"):
        data = data.toarray()
    return _tensor(data)


def _tensor(data: Any) -> Fields:
    import numpy as np

    if not isinstance(data, np.ndarray) and not isinstance(data, Sequence):
        return ()
    try:
        array = np.asarray(cast("Any", data))
    except ValueError:
        return ()  # rows of unequal length have no signature
    if array.dtype == object or array.ndim == 0:
        return ()
    dtype = "str" if array.dtype.kind in "US" else array.dtype.name
    return (Tensor(dtype, (-1, *array.shape[1:])),)


def _column(name: str | None, values: Any) -> Column:
    kind = _kind_of(values)
    if kind is None:
        raise ModelError(
            f"Column {name!r} has the type {values.dtype}, which a signature cannot say;"
            " use numbers, booleans, text, bytes or datetimes."
        )
    return Column(name, kind)


def _kind_of(values: Any) -> str | None:
    letter, size = values.dtype.kind, getattr(values.dtype, "itemsize", 8)
    if letter in "iu":
        return "integer" if size < 4 or (size == 4 and letter == "i") else "long"
    if letter == "f":
        return "float" if size <= 4 else "double"
    if letter in "bM":
        return {"b": "boolean", "M": "datetime"}[letter]
    kinds: set[type] = {type(value) for value in values.dropna()}
    if kinds <= {str}:
        return "string"
    return "binary" if kinds == {bytes} else None
