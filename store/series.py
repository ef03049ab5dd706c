"""Metric series in the database: one summary row each, and the points in segments.

The points that come in within a second are few, so the last segment that this process wrote of a series is written
anew with them until it holds some; what is left in small pieces when a run ends is merged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import schema
from .codec import Points, concatenate, decode, encode

if TYPE_CHECKING:
    from .engine import Store
    from .interning import Ids
    from .journal import SeriesKey

__all__ = ["SeriesId", "Tails", "append_points", "merge_segments"]

SeriesId = tuple[int, int, int]
"""Run number, attempt, name id."""

_SMALL = 1024  # a last segment of up to so many points is written anew
_LARGE = 1 << 16
_s = schema.series.c
_g = schema.segments.c
_INSERT = sa.text(
    """
    INSERT INTO segments (run_seq, attempt, name_id, number, count, data)
    SELECT :run_seq, :attempt, :name_id, coalesce(max(number), -1) + 1, :count, :data FROM segments
    WHERE run_seq = :run_seq AND attempt = :attempt AND name_id = :name_id
    RETURNING number
    """
)
_REWRITE = sa.text(
    """
    UPDATE segments SET count = :count, data = :data
    WHERE run_seq = :run_seq AND attempt = :attempt AND name_id = :name_id AND number = :number AND count = :had
    """
)
# SQLAlchemy would compile its own ON CONFLICT clause anew at each execution.
_UPSERT = sa.text(
    """
    INSERT INTO series (run_seq, attempt, name_id, count, last_step, last_at, last, min, max)
    VALUES (:run_seq, :attempt, :name_id, :count, :last_step, :last_at, :last, :min, :max)
    ON CONFLICT (run_seq, attempt, name_id) DO UPDATE SET
      count = series.count + excluded.count,
      last = CASE WHEN (excluded.last_step, excluded.last_at) >= (series.last_step, series.last_at)
        THEN excluded.last ELSE series.last END,
      last_step = CASE WHEN (excluded.last_step, excluded.last_at) >= (series.last_step, series.last_at)
        THEN excluded.last_step ELSE series.last_step END,
      last_at = CASE WHEN (excluded.last_step, excluded.last_at) >= (series.last_step, series.last_at)
        THEN excluded.last_at ELSE series.last_at END,
      min = CASE WHEN series.min IS NULL OR excluded.min < series.min THEN excluded.min ELSE series.min END,
      max = CASE WHEN series.max IS NULL OR excluded.max > series.max THEN excluded.max ELSE series.max END
    """
)


@dataclass
class Tails:
    """The small last segments that this process may write anew.

    Attributes:
        kept: Number of the segment, and the points that it holds.
        pieces: Runs of which a series has several segments.
    """

    kept: dict[SeriesId, tuple[int, Points]] = field(default_factory=dict[SeriesId, "tuple[int, Points]"])
    pieces: set[int] = field(default_factory=set[int])

    def forget(self, run_seq: int) -> bool:
        """Drop those of a run that has ended; tell whether there is something to merge."""
        self.kept = {key: tail for key, tail in self.kept.items() if key[0] != run_seq}
        many = run_seq in self.pieces
        self.pieces.discard(run_seq)
        return many


def append_points(connection: Connection, ids: Ids, batch: Mapping[SeriesKey, Points], tails: Tails) -> Tails:
    """Add points to their series; those of runs that do not exist any more are dropped.

    Returns:
        The tails as they are once the transaction is committed.
    """
    runs = ids.runs(key.run_id for key in batch)
    names = ids.names(key.name for key in batch if key.run_id in runs)
    found = {
        (runs[key.run_id], key.attempt, names[key.name]): points for key, points in batch.items() if key.run_id in runs
    }
    if not found:
        return tails
    connection.execute(_UPSERT, [_summary(key, found[key]) for key in sorted(found)])
    after = Tails(dict(tails.kept), set(tails.pieces))
    for key in sorted(found):
        if _append(connection, key, found[key], after.kept):
            after.pieces.add(key[0])
    return after


def merge_segments(store: Store, run_seq: int, attempt: int) -> None:
    """Bring the small segments of an attempt's series together; the order of arrival stays."""
    query = (
        sa.select(_g.name_id)
        .where(_g.run_seq == run_seq, _g.attempt == attempt, _g.count < _LARGE // 2)
        .group_by(_g.name_id)
        .order_by(_g.name_id)
        .having(sa.func.count() > 1)
    )
    with store.read() as connection:
        found = connection.execute(query).scalars().all()
    if found:
        with store.write() as connection:
            for name_id in found:
                _merge(connection, (run_seq, attempt, name_id))


def _summary(key: SeriesId, points: Points) -> dict[str, Any]:
    import numpy as np

    last = _last(points)
    value = float(points.values[last])
    finite = points.values[~np.isnan(points.values)]
    return {
        "run_seq": key[0],
        "attempt": key[1],
        "name_id": key[2],
        "count": len(points),
        "last_step": int(points.steps[last]),
        "last_at": int(points.times[last]),
        "last": None if math.isnan(value) else value,
        "min": float(finite.min()) if len(finite) else None,
        "max": float(finite.max()) if len(finite) else None,
    }


def _last(points: Points) -> int:
    """Give the position of the highest step, then time, then arrival."""
    import numpy as np

    highest = np.flatnonzero(points.steps == points.steps.max())
    times = points.times[highest]
    return int(highest[np.flatnonzero(times == times.max())[-1]])


def _append(connection: Connection, key: SeriesId, points: Points, tails: dict[SeriesId, tuple[int, Points]]) -> bool:
    """Add points to a series; tell whether it has several segments now."""
    number, tail = tails.pop(key, (0, None))
    if tail is not None and len(tail) + len(points) <= _SMALL:
        joined = concatenate([tail, points])
        if _rewrite(connection, key, number, joined, had=len(tail)):
            tails[key] = number, joined
            return number > 0
    for start in range(0, len(points), _LARGE):
        chunk = points.slice(start, start + _LARGE)
        number = _insert(connection, key, chunk)
        if len(chunk) < _SMALL:
            tails[key] = number, chunk
    return number > 0


def _rewrite(connection: Connection, key: SeriesId, number: int, points: Points, *, had: int) -> bool:
    """Write a segment anew unless another process has merged it meanwhile: then it holds more, or is gone."""
    row = {**_of(key), "number": number, "had": had, "count": len(points), "data": encode(points)}
    return connection.execute(_REWRITE, row).rowcount > 0


def _insert(connection: Connection, key: SeriesId, points: Points) -> int:
    row = {**_of(key), "count": len(points), "data": encode(points)}
    return int(connection.execute(_INSERT, row).scalar_one())


def _of(key: SeriesId) -> dict[str, int]:
    return {"run_seq": key[0], "attempt": key[1], "name_id": key[2]}


def _merge(connection: Connection, key: SeriesId) -> None:
    # The summary's row is locked first, as by whoever appends.
    series = sa.select(_s.count).where(_s.run_seq == key[0], _s.attempt == key[1], _s.name_id == key[2])
    connection.execute(series.with_for_update())
    mine = sa.and_(_g.run_seq == key[0], _g.attempt == key[1], _g.name_id == key[2])
    query = sa.select(_g.number, _g.count).where(mine).order_by(_g.number)
    group: list[tuple[int, int]] = []
    for number, count in connection.execute(query).tuples().all():
        if sum(size for _, size in group) + count > _LARGE:
            _merge_group(connection, key, group)
            group = []
        group.append((number, count))
    _merge_group(connection, key, group)


def _merge_group(connection: Connection, key: SeriesId, group: list[tuple[int, int]]) -> None:
    if len(group) < 2:
        return
    (first, had), (last, _) = group[0], group[-1]
    mine = sa.and_(_g.run_seq == key[0], _g.attempt == key[1], _g.name_id == key[2])
    within = sa.select(_g.data).where(mine, _g.number.between(first, last)).order_by(_g.number)
    points = concatenate([decode(blob) for blob in connection.execute(within).scalars()])
    connection.execute(sa.delete(schema.segments).where(mine, _g.number.between(first + 1, last)))
    _rewrite(connection, key, first, points, had=had)
