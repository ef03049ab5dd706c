"""Everything that is done between what a caller gives and what a model takes; made once per model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import BadInput
from ..protocol import is_request
from .columns import ColumnsPlan
from .fields import Column, Param, Tensor
from .params import ParamsPlan
from .tensors import TensorsPlan
from .untyped import from_request
from .whole import Signature

__all__ = ["Plan"]

Convert = Callable[[Any], Any]


class Plan:
    """Holds inputs and parameters against a signature.

    Args:
        signature: The model's; None where nobody said, and everything is passed on.
        item: What one value becomes, where the model takes a list of values; None where it takes a DataFrame.
    """

    def __init__(self, signature: Signature | None, item: Convert | None = None) -> None:
        known = signature or Signature()
        self._inputs = _inputs(known.columns, known.tensors, item)
        self._params = None if signature is None else _params(known.params)

    def fit(self, data: Any, params: Mapping[str, Any] | None = None) -> tuple[Any, Mapping[str, Any] | None]:
        """Give the inputs and the parameters that the model takes.

        Raises:
            BadInput: They do not fit.
        """
        return self._inputs(data), params if self._params is None else self._params(params)


def _inputs(columns: Sequence[Column], tensors: Sequence[Tensor], item: Convert | None) -> Convert:
    if tensors:
        return TensorsPlan(tensors).arrays
    if not columns:
        return lambda data: from_request(data) if is_request(data) else data
    plan = ColumnsPlan(columns)
    if item is None or len(columns) > 1 or columns[0].name is not None:
        return plan.frame
    return lambda data: [_made(item, value, row) for row, value in enumerate(plan.items(data), 1)]


def _made(item: Convert, value: Any, row: int) -> Any:
    try:
        return item(value)
    except (ValueError, TypeError) as error:  # pydantic's is a ValueError
        raise BadInput(f"Row {row} is not what this model takes: {' '.join(str(error).split())}") from error


def _params(params: Sequence[Param]) -> Callable[[Mapping[str, Any] | None], Mapping[str, Any] | None]:
    return ParamsPlan(params).fill
