"""Reading metric histories."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa

from . import schema
from .engine import Store, current_store
from .queries import get_run
from .records import MetricHistory
from .series import decode

__all__ = ["metric_history"]


def metric_history(
    run_id: str, name: str, *, max_points: int | None = None, attempt: int | None = None, store: Store | None = None
) -> MetricHistory:
    """Give the points of one metric of a run, ordered by step, time and arrival.

    Args:
        run_id: The run.
        name: The metric.
        max_points: Give at most this many, evenly chosen; `sampled` says whether any were left out.
        attempt: The attempt; the latest by default.
        store: Another store than the one that the settings name.

    Raises:
        RunNotFound: No run has this id.
    """
    store = current_store(store)
    attempt = attempt or get_run(run_id, store=store).attempt
    query = (
        sa.select(schema.segments.c.data)
        .join_from(schema.segments, schema.series)
        .join(schema.names)
        .where(schema.series.c.run_id == run_id, schema.series.c.attempt == attempt, schema.names.c.name == name)
        .order_by(schema.segments.c.id)
    )
    with store.read() as connection:
        return _assemble(list(connection.execute(query).scalars()), max_points)


def _assemble(blobs: list[bytes], max_points: int | None) -> MetricHistory:
    if not blobs:
        return MetricHistory(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
    decoded = [decode(blob) for blob in blobs]
    steps = np.concatenate([part[0] for part in decoded])
    times = np.concatenate([part[1] for part in decoded])
    values = np.concatenate([part[2] for part in decoded])
    order = np.lexsort((times, steps))  # stable: equal points stay in their order of arrival
    sampled = max_points is not None and len(order) > max_points
    if max_points is not None and sampled:
        order = order[np.linspace(0, len(order) - 1, max_points).astype(np.int64)]
    return MetricHistory(steps[order], times[order], values[order], sampled=sampled)
