"""Metric series: the bytes of a segment, points in arrays, merging, and reading a few of many."""

from __future__ import annotations

import math
from datetime import datetime, timezone

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_ml import get_run, log_metric, log_series, metric_history, start_run
from prefect_ml.errors import RunNotFound, TrackingError
from prefect_ml.store import Store, schema
from prefect_ml.store.codec import Points, decode, encode
from prefect_ml.store.writers import flush_pending

both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
pytestmark = pytest.mark.usefixtures("home")

INTEGER = st.integers(-(2**63), 2**63 - 1)
POINT = st.tuples(INTEGER, INTEGER, st.floats(allow_nan=True, width=64))


def points_of(rows: list[tuple[int, int, float]]) -> Points:
    steps, times, values = zip(*rows, strict=True)
    return Points(np.array(steps, np.int64), np.array(times, np.int64), np.array(values, np.float64))


def same(one: Points, other: Points) -> bool:
    pairs = [(one.steps, other.steps), (one.times, other.times), (one.values.view("i8"), other.values.view("i8"))]
    return all(np.array_equal(left, right) for left, right in pairs)


@given(st.lists(POINT, min_size=1, max_size=300))
@settings(max_examples=300)
def test_a_segment_gives_back_every_bit(rows: list[tuple[int, int, float]]) -> None:
    points = points_of(rows)
    assert same(decode(encode(points)), points)


@pytest.mark.parametrize(
    ("values", "most"),
    [
        (np.random.default_rng(0).random(65536), 8.3),
        (np.random.default_rng(0).random(65536, np.float32).astype(np.float64), 4.3),
        (np.full(65536, math.nan), 0.3),
        (np.arange(65536.0), 3.0),
    ],
)
def test_a_segment_takes_no_more_than_its_values_hold(values: np.ndarray, most: float) -> None:
    times = 1_700_000_000_000 + np.cumsum(np.random.default_rng(1).integers(0, 2, len(values)))
    points = Points(np.arange(len(values)), times, values)
    data = encode(points)
    assert len(data) / len(values) < most
    assert same(decode(data), points)


def test_what_is_no_segment_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown format 9"):
        decode(b"\x09" + bytes(30))


@both
def test_points_in_arrays_follow_on_single_ones() -> None:
    with start_run() as run:
        log_metric("loss", 9)
        log_series("loss", np.array([1, 2, 3], np.float32))
        log_series("loss", [4.0, math.nan], steps=[10, 11], timestamps=[1000, 2000])
        log_series("loss", [])
        log_series("loss", (5,), timestamps=datetime(2026, 1, 1, tzinfo=timezone.utc))
    history = metric_history(run.id, "loss")
    assert history.steps.tolist() == [0, 1, 2, 3, 10, 11, 12]
    assert history.values.tolist()[:5] == [9, 1, 2, 3, 4]
    assert history.timestamps.tolist()[4:6] == [1000, 2000]
    assert get_run(run.id).metrics == {"loss": 5.0}


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ("123", {}),
        ([[1, 2], [3, 4]], {}),
        ([1, "x"], {}),
        ([1, 2], {"steps": [1]}),
        ([1, 2], {"steps": [1, 2.5]}),
        ([1, 2], {"timestamps": [1]}),
        (5.0, {}),
    ],
)
def test_what_is_no_row_of_numbers_is_refused_and_leaves_nothing(values: object, more: dict[str, object]) -> None:
    with start_run() as run:
        with pytest.raises(TrackingError, match="loss"):
            log_series("loss", values, **more)
        log_metric("loss", 1)
    assert metric_history(run.id, "loss").values.tolist() == [1]


@both
def test_what_comes_in_small_pieces_is_one_segment_when_the_run_has_ended(store: Store) -> None:
    count = 2500
    with start_run(store=store) as run:
        for step in range(count):
            log_metric("loss", step, step=step)
            if step % 250 == 0:
                flush_pending(store)
    assert metric_history(run.id, "loss", store=store).values.tolist() == list(range(count))
    with store.read() as connection:
        sizes = connection.execute(sa.select(schema.segments.c.count)).scalars().all()
    assert list(sizes) == [count]


@both
def test_the_summary_is_that_of_all_points_whatever_their_order(store: Store) -> None:
    with start_run(store=store) as run:
        for step, value in [(5, 2.0), (3, -1.0), (9, math.nan), (7, math.inf), (9, 4.0)]:
            log_metric("loss", value, step=step)
            flush_pending(store)
    with store.read() as connection:
        row = connection.execute(sa.select(schema.series)).one()
    assert (row.count, row.last_step, row.last, row.min, row.max) == (5, 9, 4.0, -1.0, math.inf)
    assert get_run(run.id, store=store).metrics == {"loss": 4.0}


def test_few_of_many_points_keep_ends_spikes_and_gaps() -> None:
    values = np.zeros(100_000)
    values[[40_000, 70_000]] = [99.0, -99.0]
    values[50_000:60_000] = math.nan
    with start_run() as run:
        log_series("loss", values)
        log_series("short", [1, 2, 3])
    history = metric_history(run.id, "loss", max_points=100)
    assert history.sampled
    assert len(history) <= 100
    assert history.steps[[0, -1]].tolist() == [0, 99_999]
    assert {99.0, -99.0} <= set(history.values.tolist())
    assert np.isnan(history.values).any()
    assert (np.diff(history.steps) > 0).all()
    assert not metric_history(run.id, "short", max_points=100).sampled


def test_a_history_that_cannot_be_given_is_refused() -> None:
    with pytest.raises(RunNotFound):
        metric_history("nobody", "loss")
    with start_run() as run:
        log_metric("loss", 1)
    with pytest.raises(TrackingError, match="2 or more"):
        metric_history(run.id, "loss", max_points=1)
    assert len(metric_history(run.id, "none")) == 0
