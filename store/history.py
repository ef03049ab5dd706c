"""Reading metric histories."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from ..errors import RunNotFound, TrackingError
from . import schema
from .codec import Points, concatenate, decode
from .engine import Store, current_store
from .records import MetricHistory
from .writers import flush_pending

__all__ = ["metric_history"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_r = schema.runs.c
_g = schema.segments.c


def metric_history(
    run_id: str, name: str, *, max_points: int | None = None, attempt: int | None = None, store: Store | None = None
) -> MetricHistory:
    """Give the points of one metric of a run, ordered by step, time and arrival.

    Args:
        run_id: The run.
        name: The metric.
        max_points: Give at most this many, two at least; `sampled` says whether any were left out. The first and the
            last point stay, and of each stretch between them the lowest and the highest, so that no spike is lost.
        attempt: The attempt; the latest by default.
        store: Another store than the one that the settings name.

    Raises:
        RunNotFound: No run has this id.
        TrackingError: `max_points` is less than two.
    """
    if max_points is not None and max_points < 2:
        raise TrackingError(f"max_points must be 2 or more, not {max_points}; leave it out to get every point.")
    store = current_store(store)
    flush_pending(store)
    points = concatenate([decode(blob) for blob in _segments(store, run_id, name, attempt)])
    points = _ordered(points)
    if max_points is None or len(points) <= max_points:
        return MetricHistory(points.steps, points.times, points.values)
    chosen = _outline(points.values, max_points)
    return MetricHistory(points.steps[chosen], points.times[chosen], points.values[chosen], sampled=True)


def _segments(store: Store, run_id: str, name: str, attempt: int | None) -> list[bytes]:
    with store.read() as connection:
        run = connection.execute(sa.select(_r.seq, _r.attempt).where(_r.id == run_id)).first()
        if run is None:
            raise RunNotFound(run_id)
        query = (
            sa.select(_g.data)
            .join_from(schema.segments, schema.names, schema.names.c.id == _g.name_id)
            .where(_g.run_seq == run.seq, _g.attempt == (attempt or run.attempt), schema.names.c.name == name)
            .order_by(_g.number)
        )
        return list(connection.execute(query).scalars())


def _ordered(points: Points) -> Points:
    steps, times = points.steps, points.times
    if bool((steps[1:] > steps[:-1]).all()):
        return points
    order = np.lexsort((times, steps))  # stable: equal points stay in their order of arrival
    return Points(steps[order], times[order], points.values[order])


def _outline(values: Floats, count: int) -> Integers:
    """Choose the first and last position, and the lowest and highest of each of `count` / 2 - 1 stretches between."""
    ends = [0, len(values) - 1]
    stretches = count // 2 - 1
    if not stretches:
        return np.array(ends)
    inner = values[1:-1]
    width = -(-len(inner) // stretches)
    whole = len(inner) // width
    rows = inner[: whole * width].reshape(whole, width)
    starts = np.arange(whole) * width + 1
    parts = [np.array(ends), _lowest(rows) + starts, _lowest(-rows) + starts]
    if rest := len(inner) - whole * width:
        tail = inner[None, -rest:]
        parts += [_lowest(tail) + whole * width + 1, _lowest(-tail) + whole * width + 1]
    return np.unique(np.concatenate(parts))


def _lowest(rows: Floats) -> Integers:
    """Give the position of the lowest number of each row; the first of one with nothing but NaN, so that it shows."""
    lowest = rows.argmin(axis=1)
    if bool(np.isnan(rows[np.arange(len(rows)), lowest]).any()):  # argmin takes NaN for the lowest
        return np.where(np.isnan(rows), np.inf, rows).argmin(axis=1)
    return lowest
