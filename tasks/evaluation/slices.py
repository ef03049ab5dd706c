"""Parts of the data, to see where a model does worse than on the whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import EvaluationError
from ...reports.evaluation import Slice
from .metrics import AnyMetric, measure

if TYPE_CHECKING:
    from .scores import Scored

__all__ = ["slices_of"]

_VALUES = 12
_QUARTERS = 4


def slices_of(
    given: Sequence[str] | Mapping[str, Any] | None, data: Any, scored: Scored, metrics: Sequence[AnyMetric]
) -> tuple[Slice, ...]:
    """Measure on each slice.

    Args:
        given: Columns of the data, or masks of rows [rows] by name.
        data: The data that was scored.
        scored: What the model said of it.
        metrics: What to measure.

    Raises:
        EvaluationError: There is no such column, or a mask has another length.
    """
    found: list[Slice] = []
    for column, value, mask in _masks(given or (), data, len(scored.targets)):
        rows = int(mask.sum())
        if rows:
            found.append(Slice(column, value, rows, measure(metrics, scored.rows(mask))))
    return tuple(found)


def _masks(given: Sequence[str] | Mapping[str, Any], data: Any, rows: int) -> Iterator[tuple[str, str, Any]]:
    import numpy as np

    if isinstance(given, Mapping):
        for name, mask in given.items():
            flags = np.asarray(mask)
            if flags.dtype != bool or flags.shape != (rows,):
                raise EvaluationError(f"The slice {name!r} has to be {rows} booleans, one per row.")
            yield name, "", flags
        return
    for name in given:
        columns = getattr(data, "columns", ())
        if name not in columns:
            known = ", ".join(map(str, columns)) or "none, as it is no table"
            raise EvaluationError(f"There is no column {name!r} to slice by; the data has {known}.")
        yield from ((name, value, mask) for value, mask in _of_column(np.asarray(data[name])))


def _of_column(values: Any) -> Iterator[tuple[str, Any]]:
    import numpy as np

    numeric = values.dtype.kind in "iuf"
    missing = np.isnan(values) if values.dtype.kind == "f" else np.array([value is None for value in values.tolist()])
    kept = values[~missing]
    kinds = np.unique(kept) if numeric else np.unique(kept.astype(str))
    if numeric and len(kinds) > _VALUES:
        yield from _quarters(values, kept)
    else:
        texts = values if numeric else values.astype(str)
        counts = [(int((texts == kind).sum()), kind) for kind in kinds]
        largest = sorted(counts, key=lambda one: -one[0])[:_VALUES]
        yield from ((str(kind), (texts == kind) & ~missing) for _, kind in largest)
        if len(kinds) > _VALUES:
            yield "any other", ~np.isin(texts, [kind for _, kind in largest]) & ~missing
    if missing.any():
        yield "missing", missing


def _quarters(values: Any, kept: Any) -> Iterator[tuple[str, Any]]:
    import numpy as np

    edges = np.unique(np.quantile(kept, np.linspace(0, 1, _QUARTERS + 1)))
    for index, (low, high) in enumerate(itertools.pairwise(edges)):
        last = index == len(edges) - 2
        inside = (values >= low) & ((values <= high) if last else (values < high))
        yield f"{low:.4g} to {high:.4g}", inside
