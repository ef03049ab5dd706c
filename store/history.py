"""Reading metric histories."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import RunNotFound, TrackingError
from . import schema
from .codec import Points, concatenate, decode
from .engine import Store, current_store
from .records import MetricHistory
from .writers import flush_pending

__all__ = ["metric_history"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_a = schema.attempts.c
_r = schema.runs.c
_g = schema.segments.c


def metric_history(
    run_id: str, name: str, *, max_points: int | None = None, attempt: int | None = None, store: Store | None = None
) -> MetricHistory:
    """Give the points of one metric of a run, ordered by step, time and arrival.

    A metric of which the run has no points, or none yet, has an empty history, as rows are selected in pandas: so it
    can be asked for of every run of a search, and while a run is still to log it. `get_run(run_id).metrics` has the
    names of those that there are.

    Args:
        run_id: The run.
        name: The metric.
        max_points: Give at most this many, two at least; `sampled` says whether any were left out. The first and the
            last point stay, and of each stretch between them the lowest and the highest, so that no spike is lost.
        attempt: The attempt; the latest by default.
        store: Another store than the one that the settings name.

    Raises:
        RunNotFound: No run has this id.
        TrackingError: The run has no such attempt, or `max_points` is less than two.
    """
    if max_points is not None and max_points < 2:
        raise TrackingError(f"max_points must be 2 or more, not {max_points}; leave it out to get every point.")
    store = current_store(store)
    flush_pending(store)
    with store.read() as connection:
        count, segments = _segments(connection, run_id, name, attempt)
        if max_points is None or count <= max_points:
            return _history(_whole(segments, count))
        outline = _outline_of(segments, count, max_points)
        if outline is None:  # not in order as they lie there
            _, segments = _segments(connection, run_id, name, attempt)
            outline = _outline_of([_whole(segments, count)], count, max_points)
    assert outline is not None
    return _history(outline, sampled=True)


def _history(points: Points, *, sampled: bool = False) -> MetricHistory:
    return MetricHistory(points.steps, points.times, points.values, sampled=sampled)


def _segments(connection: Connection, run_id: str, name: str, attempt: int | None) -> tuple[int, Generator[Points]]:
    """Give the number of points, and the segments one after the other: no two need to be in memory at once."""
    run = connection.execute(sa.select(_r.seq, _r.attempt).where(_r.id == run_id)).first()
    if run is None:
        raise RunNotFound(run_id)
    number = run.attempt if attempt is None else attempt
    there = sa.exists().where(_a.run_seq == run.seq, _a.number == number)
    if number != run.attempt and not connection.execute(sa.select(there)).scalar():
        raise TrackingError(f"Run {run_id} has no attempt {attempt}; its latest is attempt {run.attempt}.")
    mine = sa.and_(
        _g.run_seq == run.seq,
        _g.attempt == number,
        _g.name_id == sa.select(schema.names.c.id).where(schema.names.c.name == name).scalar_subquery(),
    )
    count = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(_g.count), 0)).where(mine)).scalar_one()
    blobs = connection.execute(sa.select(_g.data).where(mine).order_by(_g.number)).scalars()
    return int(count), (decode(blob) for blob in blobs)


def _whole(segments: Iterable[Points], count: int) -> Points:
    whole = Points(np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.float64))
    position = 0
    for points in segments:
        end = position + len(points)
        whole.steps[position:end], whole.times[position:end] = points.steps, points.times
        whole.values[position:end] = points.values
        position = end
    if _is_ordered(whole):
        return whole
    order = np.lexsort((whole.times, whole.steps))  # stable: equal points stay in their order of arrival
    return Points(whole.steps[order], whole.times[order], whole.values[order])


def _is_ordered(points: Points) -> bool:
    steps, times = points.steps, points.times
    if bool((steps[1:] > steps[:-1]).all()):
        return True
    return bool(((steps[1:] > steps[:-1]) | ((steps[1:] == steps[:-1]) & (times[1:] >= times[:-1]))).all())


def _outline_of(segments: Iterable[Points], count: int, most: int) -> Points | None:
    """Choose the first and the last point, and the lowest and highest of each of `most` / 2 - 1 stretches.

    Returns:
        The points, or None where the segments do not come in order.
    """
    stretches = most // 2 - 1
    width = -(-count // stretches) if stretches else count + 1
    kept: list[Points] = []
    rest = Points.none()
    for segment in segments:
        rest = concatenate([rest, segment]) if len(rest) else segment
        if not _is_ordered(rest):
            return None
        whole = (len(rest) - 1) // width * width  # one point at least stays, so that the last one is known in the end
        if whole:
            kept.append(_chosen(rest.slice(0, whole), width, first=not kept))
            rest = rest.slice(whole, len(rest))
    kept.append(_chosen(rest, width, first=not kept, last=True))
    return concatenate(kept)


def _chosen(points: Points, width: int, *, first: bool, last: bool = False) -> Points:
    """Give the lowest and the highest of each stretch of at most `width` points, and what is asked for beside."""
    whole = len(points) // width * width
    ends = [*([0] if first else []), *([len(points) - 1] if last else [])]
    parts = [np.array(ends, np.int64), *_extremes(points.values[:whole].reshape(-1, width), 0)]
    if whole < len(points):
        parts += _extremes(points.values[None, whole:], whole)
    return points.take(np.unique(np.concatenate(parts)))


def _extremes(rows: Floats, start: int) -> list[Integers]:
    starts = np.arange(len(rows)) * rows.shape[1] + start
    return [_lowest(rows) + starts, _lowest(-rows) + starts]


def _lowest(rows: Floats) -> Integers:
    """Give the position of the lowest number of each row; the first of one with nothing but NaN, so that it shows."""
    lowest = rows.argmin(axis=1)
    if bool(np.isnan(rows[np.arange(len(rows)), lowest]).any()):  # argmin takes NaN for the lowest
        return np.where(np.isnan(rows), np.inf, rows).argmin(axis=1)
    return lowest
