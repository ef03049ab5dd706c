"""One column of a signature, and what data becomes to fit it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..errors import Mismatch
from .casting import exact, first_lost
from .cells import HOLD_NULL, Unfit, reader
from .fields import Column
from .kinds import describe
from .sentences import shown

__all__ = ["ABSENT", "ColumnFit"]

ABSENT = object()  # stands where a row does not name a column

_DTYPES = {
    "boolean": np.dtype("bool"), "integer": np.dtype("int32"), "long": np.dtype("int64"),
    "float": np.dtype("float32"), "double": np.dtype("float64"),
}  # fmt: skip
_NULLABLE = {"integer": "Int32", "long": "Int64"}  # what pandas calls integers that may be missing
# What pandas sees in object columns that hold what the type says, and nothing else but nulls.
_SEEN = {"string": ("string", "empty"), "boolean": ("boolean",), "binary": ("bytes", "empty")}


class ColumnFit:
    """Fits values to one column: a pandas Series, a numpy array, or a list of single values."""

    def __init__(self, column: Column, place: int) -> None:
        self.column = column
        self.label: Any = place if column.name is None else column.name
        self.expected = describe(column.type)
        self.dtype = _DTYPES.get(column.type) if isinstance(column.type, str) else None
        self._cells = reader(column.type, wire=False, optional=not column.required)
        self._wire = reader(column.type, wire=True, optional=not column.required)
        self._nulls = not column.required or column.type in HOLD_NULL

    def takes(self, dtype: Any) -> bool:
        """Whether a pandas column of this dtype fits, whatever it holds."""
        if self.dtype is not None:
            return dtype == self.dtype
        kind = self.column.type
        if kind == "datetime":
            return dtype.kind == "M"
        return kind == "any" or (kind == "string" and _is_text(dtype))

    def series(self, series: Any) -> Any:
        """Fit a pandas Series; itself where nothing changes.

        Raises:
            Mismatch: It does not fit.
        """
        dtype = series.dtype
        if self.takes(dtype):
            return series
        if isinstance(dtype, np.dtype):
            return self._object(series) if dtype.kind == "O" else self.array(series.to_numpy())
        if hasattr(dtype, "categories"):
            return self.series(series.astype(dtype.categories.dtype))
        if dtype.kind in "iufb" and self.dtype is not None:
            return self._nullable(series)
        return self._object(series)

    def array(self, array: npt.NDArray[Any]) -> Any:
        """Fit a numpy array of one dimension.

        Raises:
            Mismatch: It does not fit.
        """
        kind, letter = self.column.type, array.dtype.kind
        if self.dtype is not None and letter in "biuf":
            fitted = exact(array, self.dtype)
            if fitted is None:
                raise self._typed(array)
            return fitted
        if kind == "any" or (kind == "datetime" and letter == "M"):
            return array
        if letter in "OUSM":
            return self.values(array.tolist() if letter != "M" else list(array))
        raise self._typed(array)

    def values(self, values: Sequence[Any], *, wire: bool = False) -> Any:
        """Fit a list of single values.

        Args:
            values: One for each row; `ABSENT` where a row does not name the column.
            wire: Whether they came as JSON.

        Raises:
            Mismatch: One of them does not fit.
        """
        if self.dtype is not None and (quick := _quick(values, self.dtype)) is not None:
            return quick
        read = self._wire if wire else self._cells
        found: list[Any] = []
        for row, value in enumerate(values, 1):
            if value is ABSENT and self.column.required:
                raise self._missing(row)
            try:
                found.append(read(None if value is ABSENT else value))
            except Unfit as error:
                raise self._unfit(error, row) from None
        return self._packed(found)

    def missing(self, given: Iterable[Any] = ()) -> Mismatch:
        """Give the error for data that does not have this column, but those given."""
        near = get_close_matches(str(self.label), [str(label) for label in given], 1, 0.75)
        hint = f" The data has {near[0]!r}; is that it?" if near else ""
        return Mismatch(
            f"The column {self.label!r} is missing; this model needs it, as {self.expected}.{hint}",
            str(self.label), self.expected, "nothing",
        )  # fmt: skip

    def _object(self, series: Any) -> Any:
        import pandas as pd

        kind = self.column.type
        seen = _SEEN.get(kind) if isinstance(kind, str) else None
        if seen and pd.api.types.infer_dtype(series, skipna=self._nulls) in seen:
            return series
        return self.values(series.tolist())

    def _nullable(self, series: Any) -> Any:
        if not series.hasnans:
            return self.array(series.to_numpy(dtype=_plain_of(series.dtype)))
        kind = self.column.type
        if not self._nulls:
            raise self._mismatch("a missing value", "")
        return series if str(series.dtype) == _NULLABLE.get(str(kind)) else self.values(series.tolist())

    def _packed(self, found: list[Any]) -> Any:
        if self.column.type == "datetime":
            unit = "ns" if any(isinstance(value, np.datetime64) for value in found) else "us"
            return np.array(found, dtype=f"datetime64[{unit}]")
        if self.dtype is None or (self.dtype.kind == "b" and None in found):
            return np.fromiter(found, dtype=object, count=len(found))
        if self.dtype.kind == "i" and None in found:
            import pandas as pd

            return pd.array(cast("Any", found), dtype=cast("Any", _NULLABLE[str(self.column.type)]))
        return np.array(found, dtype=self.dtype)

    def _typed(self, array: npt.NDArray[Any]) -> Mismatch:
        lost = None if self.dtype is None else first_lost(array, self.dtype)
        if lost is not None and lost != lost:  # noqa: PLR0124 - NaN
            return self._mismatch(
                "a missing value (NaN)", "; inferred from data with missing values, it would be double"
            )
        such = "" if lost is None else f", such as {lost!r}"
        return self._mismatch(f"{array.dtype}{such}", "")

    def _unfit(self, error: Unfit, row: int) -> Mismatch:
        inside = f" at {error.place.lstrip('.')}, which is {error.expected}" if error.place else ""
        return self._mismatch(shown(error.found), f" in row {row}{inside}")

    def _missing(self, row: int) -> Mismatch:
        return self._mismatch("nothing", f" in row {row}, where it is missing")

    def _mismatch(self, found: str, where: str) -> Mismatch:
        text = f"The column {self.label!r} is {self.expected}, but {found} was given{where}."
        return Mismatch(text, str(self.label), self.expected, found)


def _quick(values: Sequence[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any] | None:
    """Give lists of plain numbers or booleans at once; None where each has to be looked at."""
    types = set(map(type, values))
    if types == {float} and dtype.kind == "f" and dtype.itemsize == 8:
        return np.array(values, dtype=dtype)
    if types == {bool} and dtype.kind == "b":
        return np.array(values)
    if types == {int} and dtype.kind in "if":
        try:
            return exact(np.array(values, dtype=np.int64), dtype)
        except OverflowError:
            return None
    return None


def _is_text(dtype: Any) -> bool:
    if hasattr(dtype, "categories"):
        return _is_text(dtype.categories.dtype) or dtype.categories.inferred_type == "string"
    return not isinstance(dtype, np.dtype) and str(dtype).startswith(("str", "large_string"))


def _plain_of(dtype: Any) -> np.dtype[Any]:
    return np.dtype(f"{dtype.kind}{dtype.itemsize}") if dtype.kind != "b" else np.dtype("bool")
