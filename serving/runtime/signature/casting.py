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
    return result if _is_safe(array.dtype, wanted) or not _lost(array, result).any() else None


def first_lost(array: npt.NDArray[Any], wanted: np.dtype[Any]) -> Any:
    """Give the first value that would change, or None where the kinds differ already."""
    if array.dtype.kind not in _FROM.get(wanted.kind, "") or not array.size:
        return None
    lost = array[_lost(array, _cast(array, wanted))]
    return lost.flat[0].item() if lost.size else None


def _is_safe(given: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    # numpy calls int64 to float64 safe, but floats have 53 bits for the number.
    wide = given.kind in "iu" and wanted.kind in "fc" and given.itemsize == 8
    return not wide and (wanted.kind in "US" or np.can_cast(given, wanted, "safe"))


def _cast(array: npt.NDArray[Any], wanted: np.dtype[Any]) -> npt.NDArray[Any]:
    with np.errstate(invalid="ignore", over="ignore"):
        return array.astype(wanted)


def _lost(array: npt.NDArray[Any], result: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    back = _cast(result, array.dtype)
    both_nan = np.not_equal(back, back) & np.not_equal(array, array)
    return (np.not_equal(back, array) & ~both_nan) | _outside(array, result)


def _outside(array: npt.NDArray[Any], result: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    # What lies outside of the range of integers may come back as it was: 2**63 does, from int64, where it is negative.
    kinds = array.dtype.kind + result.dtype.kind
    if kinds in ("iu", "ui"):
        return np.less(array, 0) != np.less(result, 0)
    if kinds in ("if", "uf", "fi", "fu"):
        numbers, whole = (array, result) if kinds[0] == "f" else (result, array)
        return np.greater_equal(numbers.astype(np.float64), float(int(np.iinfo(whole.dtype).max) + 1))
    return np.zeros(array.shape, dtype=np.bool_)
