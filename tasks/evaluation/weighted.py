"""The known metrics for many resamples at once: rows that are drawn again have weights, and nothing is sorted twice.

Each function takes what a model said and gives a function from weights [resamples, rows] to values [resamples]; they
equal what scikit-learn gives for the rows repeated as often as their weights say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .scores import Scored

    Floats = npt.NDArray[np.float64]

__all__ = ["WEIGHTED"]

_Weigh = Callable[[Any], Any]


def _mean(loss: Callable[[Scored], Any], finish: Callable[[Any], Any] | None = None) -> Callable[[Scored], _Weigh]:
    def prepare(scored: Scored) -> _Weigh:
        each = loss(scored)
        rows = len(each)
        return lambda weights: finish(weights @ each / rows) if finish else weights @ each / rows

    return prepare


def _error(scored: Scored) -> Any:
    return scored.predictions - scored.targets


def _relative_error(scored: Scored) -> Any:
    import numpy as np

    return np.abs(_error(scored)) / np.maximum(np.abs(scored.targets), np.finfo(np.float64).eps)


def _log_loss(scored: Scored) -> Any:
    import numpy as np

    assert scored.probabilities is not None
    tiny = np.finfo(scored.probabilities.dtype).eps
    clipped = np.clip(scored.probabilities, tiny, 1 - tiny)
    places = np.searchsorted(scored.classes, scored.targets)
    return -np.log(clipped[np.arange(len(places)), places])


def _brier(scored: Scored) -> Any:
    return (scored.positive_scores - scored.is_positive) ** 2


def _root(values: Any) -> Any:
    import numpy as np

    return np.sqrt(values)


def _explained(*, centred: bool) -> Callable[[Scored], _Weigh]:
    """Share of the variance of the targets that is explained; `centred` forgives a constant error."""

    def prepare(scored: Scored) -> _Weigh:
        import numpy as np

        errors, rows = _error(scored), len(scored.targets)
        nothing = 1e-24 * np.max(np.abs(scored.targets)) ** 2  # what rounding leaves where one value was drawn alone

        def spread(weights: Any, values: Any) -> Any:
            return (weights * (values - (weights @ values / rows)[:, None]) ** 2).sum(axis=1) / rows

        def weigh(weights: Any) -> Any:
            left = spread(weights, errors) if centred else weights @ errors**2 / rows
            total = spread(weights, scored.targets)
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.where(total > nothing, 1 - left / total, np.where(left > nothing, 0.0, 1.0))

        return weigh

    return prepare


def _largest(scored: Scored) -> _Weigh:
    import numpy as np

    sizes = np.abs(_error(scored))
    return lambda weights: np.where(weights > 0, sizes, 0.0).max(axis=1)


def _median(scored: Scored) -> _Weigh:
    import numpy as np

    sizes = np.abs(_error(scored))
    order, rows = np.argsort(sizes, kind="stable"), len(sizes)
    ordered = sizes[order]

    def weigh(weights: Any) -> Any:
        reached = np.cumsum(weights[:, order], axis=1)
        lower, upper = (ordered[(reached > place).argmax(axis=1)] for place in ((rows - 1) // 2, rows // 2))
        return (lower + upper) / 2

    return weigh


def _of_confusion(finish: Callable[[Any, Any, Any, Scored], Any]) -> Callable[[Scored], _Weigh]:
    """Count weights by true and predicted class: right ones, true ones and predicted ones [resamples, classes]."""

    def prepare(scored: Scored) -> _Weigh:
        import numpy as np

        count = len(scored.classes)
        codes = np.searchsorted(scored.classes, scored.targets) * count
        codes += np.searchsorted(scored.classes, scored.predictions)

        def weigh(weights: Any) -> Any:
            table = np.stack([np.bincount(codes, weights=one, minlength=count * count) for one in weights])
            table = table.reshape(-1, count, count)
            right = np.einsum("bii->bi", table)
            with np.errstate(divide="ignore", invalid="ignore"):
                return finish(right, table.sum(axis=2), table.sum(axis=1), scored)

        return weigh

    return prepare


def _accuracy(right: Any, true: Any, predicted: Any, scored: Scored) -> Any:
    return right.sum(axis=1) / true.sum(axis=1)


def _balanced(right: Any, true: Any, predicted: Any, scored: Scored) -> Any:
    import numpy as np

    return np.nanmean(np.where(true > 0, right / true, np.nan), axis=1)


def _matthews(right: Any, true: Any, predicted: Any, scored: Scored) -> Any:
    import numpy as np

    total = true.sum(axis=1)
    above = right.sum(axis=1) * total - (true * predicted).sum(axis=1)
    below = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1))
    return np.where(below > 0, above / np.sqrt(below), 0.0)


def _share(kind: str, average: str) -> Callable[[Any, Any, Any, Scored], Any]:
    """Precision, recall or F1, of the positive class or averaged over the classes that occur."""

    def finish(right: Any, true: Any, predicted: Any, scored: Scored) -> Any:
        import numpy as np

        below = {"precision": predicted, "recall": true, "f1": (true + predicted) / 2}[kind]
        each = np.where(below > 0, right / below, 0.0)
        if average == "positive":
            return each[:, scored.classes.tolist().index(scored.positive)]
        if average == "weighted":
            return (each * true).sum(axis=1) / true.sum(axis=1)
        return np.nanmean(np.where(true + predicted > 0, each, np.nan), axis=1)

    return finish


def _ranked(truth: Any, scores: Any) -> Callable[[Any], tuple[Any, Any]]:
    """Give weights of true and other rows, summed from the highest score down to each distinct one."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    flags = truth[order].astype(np.float64)

    def sums(weights: Any) -> tuple[Any, Any]:
        drawn = weights[:, order]
        return np.cumsum(drawn * flags, axis=1)[:, ends], np.cumsum(drawn * (1 - flags), axis=1)[:, ends]

    return sums


def _area(truth: Any, scores: Any) -> _Weigh:
    import numpy as np

    sums = _ranked(truth, scores)

    def weigh(weights: Any) -> Any:
        true, false = (np.pad(one, ((0, 0), (1, 0))) for one in sums(weights))
        area = (np.diff(false, axis=1) * (true[:, 1:] + true[:, :-1]) / 2).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return area / (true[:, -1] * false[:, -1])  # NaN where only one class was drawn

    return weigh


def _roc_auc(scored: Scored) -> _Weigh:
    return _area(scored.is_positive, scored.positive_scores)


def _roc_auc_ovr(scored: Scored) -> _Weigh:
    import numpy as np

    assert scored.probabilities is not None
    columns = zip(scored.classes, scored.probabilities.T, strict=True)
    areas = [_area(scored.targets == name, scores) for name, scores in columns]
    return lambda weights: np.mean([area(weights) for area in areas], axis=0)


def _average_precision(scored: Scored) -> _Weigh:
    import numpy as np

    sums = _ranked(scored.is_positive, scored.positive_scores)

    def weigh(weights: Any) -> Any:
        true, false = sums(weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(true + false > 0, true / (true + false), 0.0)
            area = (np.diff(true, axis=1, prepend=0.0) * precision).sum(axis=1) / true[:, -1]
        return np.where(true[:, -1] > 0, area, 0.0)

    return weigh


WEIGHTED: Mapping[str, Callable[[Scored], _Weigh]] = {
    "accuracy": _of_confusion(_accuracy),
    "balanced_accuracy": _of_confusion(_balanced),
    "precision": _of_confusion(_share("precision", "positive")),
    "recall": _of_confusion(_share("recall", "positive")),
    "f1": _of_confusion(_share("f1", "positive")),
    "precision_macro": _of_confusion(_share("precision", "macro")),
    "recall_macro": _of_confusion(_share("recall", "macro")),
    "f1_macro": _of_confusion(_share("f1", "macro")),
    "f1_weighted": _of_confusion(_share("f1", "weighted")),
    "matthews_corrcoef": _of_confusion(_matthews),
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "brier_score": _mean(_brier),
    "roc_auc_ovr": _roc_auc_ovr,
    "log_loss": _mean(_log_loss),
    "rmse": _mean(lambda scored: _error(scored) ** 2, _root),
    "mae": _mean(lambda scored: abs(_error(scored))),
    "median_absolute_error": _median,
    "max_error": _largest,
    "mape": _mean(_relative_error),
    "r2": _explained(centred=False),
    "explained_variance": _explained(centred=True),
    "mean_error": _mean(_error),
}
