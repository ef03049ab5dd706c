"""The metric curves of many runs, few enough points of each that they can be looked at together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...store import Store, metric_history

if TYPE_CHECKING:
    from ...store import MetricHistory, Run

__all__ = ["Curve", "Curves", "metrics_in_order", "read_curves"]

# About 16 bytes of page per point: this many keep a page of any number of runs below 10 MB.
_POINTS = 300_000
_SERIES = 6_000
_MOST, _FEWEST = 400, 40


@dataclass(frozen=True)
class Curve:
    """One run's series of one metric.

    Attributes:
        run: Position of the run in the comparison.
        history: Its points, thinned where there are many.
    """

    run: int
    history: MetricHistory


@dataclass(frozen=True)
class Curves:
    """What was read of the metrics of several runs.

    Attributes:
        by_metric: Curves by the metric's name.
        left_out: Metrics whose curves were not read because there are too many.
        max_points: The most points that were taken of one series.
    """

    by_metric: dict[str, list[Curve]]
    left_out: list[str]
    max_points: int


def metrics_in_order(runs: Sequence[Run]) -> list[str]:
    """Give the names of all metrics: first those that most runs have, then by name."""
    counts = Counter(name for run in runs for name in run.metrics)
    return sorted(counts, key=lambda name: (-counts[name], name))


def read_curves(runs: Sequence[Run], *, store: Store) -> Curves:
    """Read the curves of all metrics of `runs`, as many as can be shown at once."""
    shown, left_out, series = list[str](), list[str](), 0
    for name in metrics_in_order(runs):
        series += sum(name in run.metrics for run in runs)
        (shown if series <= _SERIES else left_out).append(name)
    total = sum(name in run.metrics for run in runs for name in shown)
    points = max(_FEWEST, min(_MOST, _POINTS // max(total, 1)))
    return Curves({name: _read(runs, name, points, store) for name in shown}, left_out, points)


def _read(runs: Sequence[Run], name: str, points: int, store: Store) -> list[Curve]:
    return [
        Curve(index, metric_history(run.id, name, max_points=points, attempt=run.attempt, store=store))
        for index, run in enumerate(runs)
        if name in run.metrics
    ]
