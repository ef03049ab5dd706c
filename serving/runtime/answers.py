"""Writing predictions as JSON: arrays and tables as lists, NaN and the infinities as text."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

__all__ = ["as_plain", "encode"]


def encode(predictions: Any) -> bytes:
    """Give the JSON body that answers a scoring request.

    Raises:
        TypeError: The predictions hold something that JSON cannot say.
    """
    return json.dumps({"predictions": as_plain(predictions)}, separators=(",", ":"), allow_nan=False).encode()


def as_plain(value: Any, nonfinite: Callable[[float], Any] | None = None) -> Any:  # noqa: PLR0911 - one per kind
    """Turn arrays, tables, series and numpy scalars into lists, dicts and plain values.

    Args:
        value: What a model answered, or an example.
        nonfinite: What stands for NaN and the infinities; their names by default.

    Raises:
        TypeError: It is something that JSON cannot say.
    """
    nonfinite = nonfinite or _name_of
    if isinstance(value, np.ndarray):
        return _array(cast("Any", value), nonfinite)
    if isinstance(value, np.generic):
        return as_plain(value.item(), nonfinite)
    if isinstance(value, float):
        return value if math.isfinite(value) else nonfinite(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): as_plain(item, nonfinite) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(item, nonfinite) for item in cast("list[Any]", value)]
    return _foreign(value, nonfinite)


def _array(array: Any, nonfinite: Callable[[float], Any]) -> Any:
    if array.dtype.kind in "iub" or (array.dtype.kind == "f" and bool(np.isfinite(array).all())):
        return array.tolist()
    if array.dtype.kind in "mM":
        return array.astype(str).tolist()
    return as_plain(array.tolist(), nonfinite)


def _name_of(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _foreign(value: Any, nonfinite: Callable[[float], Any]) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a DataFrame
        return as_plain(value.to_dict(orient="records"), nonfinite)
    if hasattr(value, "isoformat"):  # dates, and pandas' own
        return str(value.isoformat())
    for turn in ("toarray", "tolist"):  # sparse matrices; series and other array-likes
        if hasattr(value, turn):
            return as_plain(getattr(value, turn)(), nonfinite)
    raise TypeError(f"the model answered with {type(value).__name__}, which JSON cannot say")
