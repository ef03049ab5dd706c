"""The numbers behind the figures of an evaluation, by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import ModelError
from ...reports.evaluation import Curve, Drawings
from .learn import of_sklearn, quietly

if TYPE_CHECKING:
    from .scores import Scored

__all__ = ["drawings_of"]

_POINTS = 200
_BINS = 10
_CURVES = 10


def drawings_of(scored: Scored) -> Drawings:
    """Work out what the figures show.

    Raises:
        ModelError: scikit-learn cannot work with what the model answers.
    """
    try:
        return _drawings(scored)
    except (ValueError, TypeError) as error:
        said = " ".join(str(error).split())
        raise ModelError(f"The figures cannot be drawn of what the model answers ({said}).") from error


def _drawings(scored: Scored) -> Drawings:
    if scored.kind == "regressor":
        residuals = scored.predictions - scored.targets
        return Drawings(
            predicted=_curve("", scored.targets, scored.predictions, most=5000),
            residuals=_curve("", scored.predictions, residuals, most=5000),
        )
    with quietly():
        counts = of_sklearn("metrics", "confusion_matrix")(scored.targets, scored.predictions, labels=scored.classes)
        confusion = tuple(tuple(map(int, row)) for row in counts)
        if scored.probabilities is None:
            return Drawings(confusion)
        sides = _sides(scored)
        return Drawings(
            confusion,
            roc=tuple(_roc(*side) for side in sides),
            precision_recall=tuple(_precision_recall(*side) for side in sides),
            calibration=tuple(_calibration(*side) for side in sides),
        )


def _sides(scored: Scored) -> list[tuple[str, Any, Any]]:
    """Give name, truth and score of the positive class, or of each class against the rest; none without both."""
    assert scored.probabilities is not None
    if scored.positive is not None:
        sides = [(str(scored.positive), scored.is_positive, scored.positive_scores)]
    else:
        columns = zip(scored.classes.tolist(), scored.probabilities.T, strict=True)
        sides = [(str(name), scored.targets == name, scores) for name, scores in columns]
    return [side for side in sides if side[1].any() and not side[1].all()][:_CURVES]


def _roc(name: str, truth: Any, scores: Any) -> Curve:
    false, true, _ = of_sklearn("metrics", "roc_curve")(truth, scores)
    return _curve(name, false, true)


def _precision_recall(name: str, truth: Any, scores: Any) -> Curve:
    precision, recall, _ = of_sklearn("metrics", "precision_recall_curve")(truth, scores)
    return _curve(name, recall, precision)


def _calibration(name: str, truth: Any, scores: Any) -> Curve:
    observed, predicted = of_sklearn("calibration", "calibration_curve")(truth, scores.clip(0.0, 1.0), n_bins=_BINS)
    return _curve(name, predicted, observed)


def _curve(name: str, xs: Any, ys: Any, most: int = _POINTS) -> Curve:
    import numpy as np

    taken = np.unique(np.linspace(0, len(xs) - 1, min(most, len(xs))).astype(int))
    return Curve(name, tuple(map(float, xs[taken])), tuple(map(float, ys[taken])))
