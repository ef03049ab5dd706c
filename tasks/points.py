"""Many points of one metric at once, from whatever holds numbers in a row."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..errors import TrackingError
from ..store import to_ms
from ..store.codec import Points

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["points_of"]


def points_of(name: str, values: Any, steps: Any, timestamps: Any, *, first: int) -> Points:
    """Give points as columns.

    Args:
        name: The metric, for messages.
        values: float[n].
        steps: int[n]; counted up from `first` where they are None.
        timestamps: int[n], or one moment for all, milliseconds since 1970; now where they are None.
        first: The first step by default.

    Raises:
        TrackingError: These are no numbers in a row, or there are not as many steps or timestamps as values.
    """
    import numpy as np

    numbers = _row(name, "values", values, np.float64)
    count = len(numbers)
    placed = np.arange(first, first + count) if steps is None else _row(name, "steps", steps, np.int64)
    moment = time.time_ns() // 1_000_000 if timestamps is None else timestamps
    if isinstance(moment, datetime):
        moment = to_ms(moment)
    times = np.full(count, moment, np.int64) if isinstance(moment, int) else _row(name, "timestamps", moment, np.int64)
    for what, column in (("steps", placed), ("timestamps", times)):
        if len(column) != count:
            raise TrackingError(f"Metric {name!r} has {count} values and {len(column)} {what}; give as many of both.")
    return Points(placed, times, numbers)


def _row(name: str, what: str, given: Any, kind: type[np.generic]) -> npt.NDArray[Any]:
    import numpy as np

    try:
        column = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
        if column.ndim == 1 and (column.size == 0 or np.can_cast(column.dtype, kind, "same_kind")):
            return np.ascontiguousarray(column, kind)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        pass
    raise TrackingError(
        f"The {what} of metric {name!r} must be numbers of at most 64 bits in one row;"
        f" this {type(given).__name__} is not."
    )
