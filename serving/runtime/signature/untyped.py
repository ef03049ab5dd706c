"""Requests to a model that says nothing of its inputs: the nearest thing that a library would take."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import BadInput
from ..protocol import Data, Named, Records, Table, Tensors

__all__ = ["from_request"]


def from_request(request: Data) -> Any:
    """Turn a request into an array, or a DataFrame where it names columns.

    Raises:
        BadInput: It makes neither.
    """
    if isinstance(request, Tensors):
        return _array(request.data)
    try:
        import pandas as pd
    except ImportError:
        raise BadInput("This model was saved without column names; send 'instances' or 'inputs'.") from None
    try:
        if isinstance(request, Records):
            return pd.DataFrame(list(request.rows))
        if isinstance(request, Named):
            return pd.DataFrame(dict(request.values))
    except ValueError as error:
        raise BadInput(f"The columns make no table ({error}); give each the same number of values.") from error
    return _frame(request, pd)


def _frame(table: Table, pd: Any) -> Any:
    rows = [list(row) for row in table.rows]
    frame = pd.DataFrame(rows, columns=None if table.columns is None else list(table.columns))
    return frame.apply(_numbers) if table.textual else frame


def _numbers(cells: Any) -> Any:
    try:
        return cells.astype(float)
    except (ValueError, TypeError):
        return cells


def _array(rows: Any) -> Any:
    try:
        array = np.asarray(rows)
    except (ValueError, OverflowError) as error:
        raise BadInput("The rows differ in length or depth; give each the same shape.") from error
    if array.dtype == object:
        raise BadInput("The input holds nulls, objects or numbers out of range; give plain values.")
    return array
