"""Conversions of typed arrays: one is done only where no value changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["exact", "first_lost"]

# From which kinds of numpy's dtypes a kind may come at all.
_FROM = {"b": "b", "i": "iuf", "u": "iuf", "f": "iuf", "c": "iufc", "M": "M", "m": "m", "U": "U", "S": "S"}


def exact(array: npt.NDArray[Any], wanted: np.dtype[Any]) -> npt.NDArray[Any] | None:
    """Give the array as `wanted`, itself where it is that already, or None where a value would change."""
    if array.dtype == wanted or wanted.kind == "O":
        return array
    if array.dtype.kind not in _FROM.get(wanted.kind, ""):
        return None
    result = _cast(array, wanted)
    return result if _is_safe(array.dtype, wanted) or _same(array, result) else None


def first_lost(array: npt.NDArray[Any], wanted: np.dtype[Any]) -> Any:
    """Give the first value that would change, or None where the kinds differ already."""
    if array.dtype.kind not in _FROM.get(wanted.kind, "") or not array.size:
        return None
    back = _cast(_cast(array, wanted), array.dtype)
    both_nan = np.not_equal(back, back) & np.not_equal(array, array)
    lost = array[np.not_equal(back, array) & ~both_nan]
    return lost.flat[0].item() if lost.size else None


def _is_safe(given: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    # numpy calls int64 to float64 safe, but floats have 53 bits for the number.
    wide = given.kind in "iu" and wanted.kind in "fc" and given.itemsize == 8
    return not wide and (wanted.kind in "US" or np.can_cast(given, wanted, "safe"))


def _cast(array: npt.NDArray[Any], wanted: np.dtype[Any]) -> npt.NDArray[Any]:
    with np.errstate(invalid="ignore", over="ignore"):
        return array.astype(wanted)


def _same(array: npt.NDArray[Any], result: npt.NDArray[Any]) -> bool:
    back = _cast(result, array.dtype)
    return bool(np.array_equal(back, array, equal_nan=array.dtype.kind in "fcMm"))
