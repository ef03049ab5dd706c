"""Values of other libraries as short text, and as what JSON can say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

__all__ = ["class_tags", "first_rows", "plain", "row_count", "spread_rows", "text_of"]

_LONGEST = 500
_PLAIN = (bool, int, float, str, type(None))


def text_of(value: Any) -> str:
    """Give a param's value as text: plain values as they are, objects by what tells them apart."""
    value = _scalar(value)
    if isinstance(value, _PLAIN):
        return str(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__}(shape={tuple(value.shape)}, dtype={value.dtype})"
    if hasattr(value, "get_params"):
        return type(value).__name__
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return _shown(value)


def plain(value: Any) -> Any:
    """Give a value as JSON can say it; NaN and the infinities as the strings of those names."""
    value = _scalar(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in cast("Sequence[Any]", value)]
    return text_of(value)


def row_count(data: Any) -> int | None:
    """Give how many rows the data has, or None where that cannot be seen."""
    shape = getattr(data, "shape", None)
    if shape:
        return int(shape[0])
    return len(cast("Sequence[Any]", data)) if isinstance(data, (list, tuple)) else None


def class_tags(estimator: Any) -> dict[str, str]:
    """Give the tags that say what kind of estimator it is."""
    kind = cast("type[Any]", type(estimator))
    return {"estimator_name": kind.__name__, "estimator_class": f"{kind.__module__}.{kind.__qualname__}"}


def first_rows(data: Any, count: int = 5) -> Any:
    """Give the first rows as an example of input, or None where the data is of no kind that examples can have."""
    if hasattr(data, "head") and hasattr(data, "columns"):
        return data.head(count)
    if hasattr(data, "head") and hasattr(data, "tolist"):  # a column, such as one of texts
        return data.head(count).tolist()
    dense = hasattr(data, "shape") and hasattr(data, "dtype") and hasattr(data, "tolist")
    return cast("Any", data)[:count] if dense or isinstance(data, list) else None


def spread_rows(data: Any, most: int) -> Any:
    """Give at most this many rows, evenly spread over the data."""
    rows = row_count(data)
    if rows is None or rows <= most:
        return data
    every = slice(None, None, math.ceil(rows / most))
    return data.iloc[every] if hasattr(data, "iloc") else data[every]


def _scalar(value: Any) -> Any:
    if not isinstance(value, _PLAIN) and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def _shown(value: Any) -> str:
    shown = repr(value)
    if " at 0x" in shown:  # an address tells nothing
        return f"{type(value).__module__}.{type(value).__qualname__}"
    cut = f"{shown[:_LONGEST]}... ({len(shown)} characters)"
    return shown if len(shown) <= _LONGEST else cut
