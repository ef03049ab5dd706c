"""Metrics of classifiers and regressors, by scikit-learn, under the names that its users know."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ...errors import EvaluationError, ModelError
from .learn import of_sklearn, quietly

if TYPE_CHECKING:
    from .scores import Scored

__all__ = ["KINDS", "AnyMetric", "Function", "Metric", "chosen_metrics", "measure"]

KINDS = ("classifier", "regressor")

# Of true values and predictions, both arrays of length rows.
Function = Callable[[Any, Any], float]


@dataclass(frozen=True)
class Metric:
    """A metric of the user's own.

    Attributes:
        name: What it is called.
        function: From the true values and the predictions, both arrays of length rows, to a number.
        greater_is_better: Whether more of it is what one wants.
    """

    name: str
    function: Function
    greater_is_better: bool = True

    def of(self, scored: Scored) -> float:
        """Measure."""
        return float(self.function(scored.targets, scored.predictions))


@dataclass(frozen=True)
class _Known:
    """A metric that scikit-learn has; `needs` says what it takes beside the predicted labels or values."""

    name: str
    measure: Callable[[Scored], float]
    greater_is_better: bool = True
    needs: str = ""  # "binary", "many", "probabilities", "binary probabilities", "many probabilities"

    def of(self, scored: Scored) -> float:
        return float(self.measure(scored))


AnyMetric = Metric | _Known


def chosen_metrics(given: Sequence[str | Metric | Function] | None, scored: Scored) -> list[AnyMetric]:
    """Give the metrics that were asked for, or all that the model and data allow.

    Raises:
        EvaluationError: A name that is none, or a metric that this model cannot have.
    """
    known = {metric.name: metric for metric in (_CLASSIFIER if scored.kind == "classifier" else _REGRESSOR)}
    if given is None:
        return [metric for metric in known.values() if _applies(metric, scored)]
    if not given:
        raise EvaluationError(
            f"metrics=[] leaves nothing to measure; leave it out, or name some of {', '.join(known)}."
        )
    found = [_metric(one, known, scored) for one in given]
    names = [metric.name for metric in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise EvaluationError(f"The metric {twice!r} is given twice; name each once.")
    return found


def measure(metrics: Sequence[AnyMetric], scored: Scored) -> dict[str, float]:
    """Measure; NaN where a metric has no meaning for these rows, such as the ROC of a single class.

    Raises:
        ModelError: A metric of the user's own fails.
    """
    with quietly():
        return {metric.name: _value(metric, scored) for metric in metrics}


def _metric(given: Any, known: Mapping[str, _Known], scored: Scored) -> AnyMetric:
    if isinstance(given, Metric):
        return given
    if callable(given):
        name = getattr(given, "__name__", type(given).__name__)
        if not re.fullmatch(r"[\w.\- :/]+", name) or name == "<lambda>":
            raise EvaluationError(f"The metric {name!r} needs a name; give Metric(name, function).")
        return Metric(name, cast("Function", given))
    metric = known.get(str(given))
    if metric is None:
        raise EvaluationError(f"There is no metric {given!r} for a {scored.kind}; there are {', '.join(known)}.")
    if not _applies(metric, scored):
        raise EvaluationError(f"The metric {given!r} needs {_lacking(metric, scored)}.")
    return metric


def _applies(metric: _Known, scored: Scored) -> bool:
    words = set(metric.needs.split())
    return words <= set(scored.has.split())


def _lacking(metric: _Known, scored: Scored) -> str:
    missing = set(metric.needs.split()) - set(scored.has.split())
    if "probabilities" in missing:
        return "probabilities, and this model gives labels alone"
    wanted = "exactly two classes" if "binary" in missing else "more than two classes"
    return f"{wanted}, and there are {len(scored.classes)} here"


def _value(metric: AnyMetric, scored: Scored) -> float:
    try:
        return metric.of(scored)
    except Exception as error:  # anybody's function; scikit-learn's own say ValueError where there is no meaning
        if isinstance(metric, _Known) and isinstance(error, ValueError):
            return math.nan
        raise ModelError(f"The metric {metric.name!r} failed ({type(error).__name__}: {error}).") from error


def _of_labels(function: str, **options: Any) -> Callable[[Scored], float]:
    return lambda scored: of_sklearn("metrics", function)(scored.targets, scored.predictions, **options)


def _of_positive(function: str) -> Callable[[Scored], float]:
    return lambda scored: of_sklearn("metrics", function)(
        scored.targets, scored.predictions, pos_label=scored.positive, zero_division=0.0
    )


def _of_scores(function: str) -> Callable[[Scored], float]:
    return lambda scored: of_sklearn("metrics", function)(scored.is_positive, scored.positive_scores)


def _of_probabilities(function: str, **options: Any) -> Callable[[Scored], float]:
    return lambda scored: of_sklearn("metrics", function)(
        scored.targets, scored.probabilities, labels=scored.classes, **options
    )


def _macro(function: str, average: str = "macro") -> Callable[[Scored], float]:
    return _of_labels(function, average=average, zero_division=0.0)


def _mean_error(scored: Scored) -> float:
    return float((scored.predictions - scored.targets).mean())


_CLASSIFIER = (
    _Known("accuracy", _of_labels("accuracy_score")),
    _Known("balanced_accuracy", _of_labels("balanced_accuracy_score")),
    _Known("precision", _of_positive("precision_score"), needs="binary"),
    _Known("recall", _of_positive("recall_score"), needs="binary"),
    _Known("f1", _of_positive("f1_score"), needs="binary"),
    _Known("precision_macro", _macro("precision_score"), needs="many"),
    _Known("recall_macro", _macro("recall_score"), needs="many"),
    _Known("f1_macro", _macro("f1_score"), needs="many"),
    _Known("f1_weighted", _macro("f1_score", "weighted"), needs="many"),
    _Known("matthews_corrcoef", _of_labels("matthews_corrcoef")),
    _Known("roc_auc", _of_scores("roc_auc_score"), needs="binary probabilities"),
    _Known("average_precision", _of_scores("average_precision_score"), needs="binary probabilities"),
    _Known("brier_score", _of_scores("brier_score_loss"), greater_is_better=False, needs="binary probabilities"),
    _Known("roc_auc_ovr", _of_probabilities("roc_auc_score", multi_class="ovr"), needs="many probabilities"),
    _Known("log_loss", _of_probabilities("log_loss"), greater_is_better=False, needs="probabilities"),
)
_REGRESSOR = (
    _Known("rmse", _of_labels("root_mean_squared_error"), greater_is_better=False),
    _Known("mae", _of_labels("mean_absolute_error"), greater_is_better=False),
    _Known("median_absolute_error", _of_labels("median_absolute_error"), greater_is_better=False),
    _Known("max_error", _of_labels("max_error"), greater_is_better=False),
    _Known("mape", _of_labels("mean_absolute_percentage_error"), greater_is_better=False),
    _Known("r2", _of_labels("r2_score")),
    _Known("explained_variance", _of_labels("explained_variance_score")),
    _Known("mean_error", _mean_error, greater_is_better=False),
)
