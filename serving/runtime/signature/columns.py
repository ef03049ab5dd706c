"""Tables, held against the columns of a signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import BadInput
from .column_fit import ColumnFit
from .fields import Column
from .tables import fitted, is_frame

__all__ = ["ColumnsPlan"]


class ColumnsPlan:
    """What can be said of a signature's columns before there is data: made once per model, used for every call."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._fits = [ColumnFit(column, place) for place, column in enumerate(columns)]
        self._labels = [fit.label for fit in self._fits]
        self._named = columns[0].name is not None
        # numpy takes None for float64 where dtypes are compared, so something stands in its place that equals nothing.
        self._dtypes = [object() if fit.dtype is None else fit.dtype for fit in self._fits]
        self._common = self._fits[0].dtype if len({fit.dtype for fit in self._fits}) == 1 else None

    def frame(self, data: Any) -> Any:
        """Give the pandas DataFrame that the model takes: the data itself, where it fits as it is.

        Raises:
            BadInput: It does not fit.
        """
        if is_frame(data):
            return self._of_frame(data)
        if self._is_block(data):
            return self._pandas.DataFrame(data, columns=self._index, copy=False)
        return self._built(fitted(data, self._fits), None)

    def items(self, data: Any) -> list[Any]:
        """Give the values of a signature's only column as a list.

        Raises:
            BadInput: They do not fit.
        """
        values = self._of_frame(data).iloc[:, 0] if is_frame(data) else fitted(data, self._fits)[0]
        return values.tolist()

    @cached_property
    def _pandas(self) -> Any:
        try:
            import pandas as pd
        except ImportError:
            raise BadInput("This model takes a table, and pandas is not installed here; install pandas.") from None
        return pd

    @cached_property
    def _index(self) -> Any:
        return self._pandas.Index(self._labels)

    def _is_block(self, data: Any) -> bool:
        return self._is_common(data) and data.shape[1:] == (len(self._fits),)

    def _is_common(self, values: Any) -> bool:
        return self._common is not None and isinstance(values, np.ndarray) and _dtype(values) == self._common

    def _of_frame(self, data: Any) -> Any:
        labels, dtypes = data.columns.tolist(), data.dtypes.tolist()
        if dtypes == self._dtypes and (labels == self._labels or not self._named):
            return data
        places = self._places(labels)
        changed: dict[int, Any] = {}
        for number, (fit, place) in enumerate(zip(self._fits, places, strict=True)):
            if place is not None and not fit.takes(dtypes[place]):
                series = data.iloc[:, place]
                if (new := fit.series(series)) is not series:
                    changed[number] = new
        if not changed:
            return (
                data if places == list(range(len(labels))) else data.take([p for p in places if p is not None], axis=1)
            )
        return self._replaced(data, places, changed)

    def _places(self, labels: list[Any]) -> list[int | None]:
        if not self._named:
            if len(labels) != len(self._fits):
                raise BadInput(f"The table has {len(labels)} columns, but this model takes {len(self._fits)}.")
            return list(range(len(labels)))
        if labels == self._labels:
            return list(range(len(labels)))
        known: dict[str, int] = {}
        for place, label in enumerate(labels):
            if str(label) in known and str(label) in self._labels:
                raise BadInput(f"The table has two columns {str(label)!r}; give each its own name.")
            known[str(label)] = place
        for fit in self._fits:
            if fit.column.required and fit.label not in known:
                raise fit.missing(known.keys() - set(self._labels))
        return [known.get(fit.label) for fit in self._fits]

    def _replaced(self, data: Any, places: list[int | None], changed: Mapping[int, Any]) -> Any:
        kept = [None if place is None else data.iloc[:, place] for place in places]
        labels = [data.columns[place] if place is not None else None for place in places]
        series = {
            label: changed.get(number, values)
            for number, (label, values) in enumerate(zip(labels, kept, strict=True))
            if values is not None
        }
        return self._pandas.DataFrame(series, index=data.index, copy=False)

    def _built(self, values: Sequence[Any], index: Any) -> Any:
        pd = self._pandas
        if all(self._is_common(one) for one in values):
            return pd.DataFrame(np.column_stack(values), columns=self._index, copy=False)
        present = {label: one for label, one in zip(self._labels, values, strict=True) if one is not None}
        return pd.DataFrame(present, index=index, copy=False)


def _dtype(values: Any) -> Any:
    return values.dtype
