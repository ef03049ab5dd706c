"""Two models on the same rows, with intervals of what is between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...reports.evaluation import Difference
from .metrics import AnyMetric, Metric, measure
from .weighted import WEIGHTED

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .scores import Scored

    Floats = npt.NDArray[np.float64]

__all__ = ["differences"]

# Numbers of weights that are in memory at once.
_CHUNK = 4_000_000


def differences(
    metrics: Sequence[AnyMetric], scored: Scored, other: Scored, *, resamples: int, confidence: float, seed: int
) -> tuple[Difference, ...]:
    """Measure both, and how sure their difference is.

    The paired bootstrap draws rows with replacement, the same for both models, and takes the middle part of the
    differences (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
    """
    import numpy as np

    random = np.random.default_rng(seed)
    ours, theirs = ([_drawing(metric, one) for metric in metrics] for one in (scored, other))
    rows, drawn = len(scored.targets), [list[Any]() for _ in metrics]
    left = resamples
    while left:
        taken = min(left, max(1, _CHUNK // rows))
        weights = _weights(random, taken, rows)
        for found, our, their in zip(drawn, ours, theirs, strict=True):
            found.append(our(weights) - their(weights))
        left -= taken
    values, others = measure(metrics, scored), measure(metrics, other)
    return tuple(
        _difference(metric, values[metric.name], others[metric.name], np.concatenate(found), confidence)
        for metric, found in zip(metrics, drawn, strict=True)
    )


def _weights(random: np.random.Generator, times: int, rows: int) -> Floats:
    """Draw how often each row is taken [times, rows]."""
    import numpy as np

    drawn = random.integers(0, rows, (times, rows))
    return np.stack([np.bincount(one, minlength=rows) for one in drawn]).astype(np.float64)


def _drawing(metric: AnyMetric, scored: Scored) -> Callable[[Any], Any]:
    if isinstance(metric, Metric):
        return lambda weights: _repeated(metric, scored, weights)
    return WEIGHTED[metric.name](scored)


def _repeated(metric: Metric, scored: Scored, weights: Any) -> Any:
    """Measure what only the user's own function can: on the rows themselves, as often as each was drawn."""
    import numpy as np

    places = np.arange(len(scored.targets))
    drawn = (scored.rows(np.repeat(places, one.astype(np.int64))) for one in weights)
    return np.array([measure([metric], one)[metric.name] for one in drawn])


def _difference(metric: AnyMetric, value: float, other: float, drawn: Floats, confidence: float) -> Difference:
    import numpy as np

    finite = drawn[np.isfinite(drawn)]
    ends = (50 * (1 - confidence), 100 - 50 * (1 - confidence))
    low, high = map(float, np.percentile(finite, ends)) if len(finite) else (float("nan"), float("nan"))
    better = None if not (low > 0 or high < 0) else (low > 0) == metric.greater_is_better
    return Difference(metric.name, value, other, low, high, better)
