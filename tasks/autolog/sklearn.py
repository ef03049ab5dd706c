"""scikit-learn: estimators that predict or cluster, alone, as the end of a pipeline, or under a parameter search."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from types import ModuleType
from typing import Any, cast

from . import search
from .libraries import Call, Target, members_of
from .recorder import Recorder
from .values import class_tags, first_rows, plain, row_count, spread_rows

__all__ = ["NAME", "PACKAGES", "targets", "training"]

NAME = "sklearn"
PACKAGES = ("sklearn",)

# What estimators keep of their iterations, and the metric that it becomes.
_CURVES = {
    "estimator_errors_": "estimator_error",
    "loss_curve_": "loss",
    "lower_bounds_": "lower_bound",
    "oob_improvement_": "oob_improvement",
    "oob_scores_": "oob_score",
    "train_score_": "train_score",
    "validation_score_": "validation_score",
    "validation_scores_": "validation_score",
}
_NUMBERS = ("best_loss_", "inertia_", "lower_bound_", "n_iter_", "oob_score_")
_SCORED_ROWS = 10_000


def targets(module: ModuleType) -> Iterable[Target]:
    """Give the estimators that the module defines."""
    base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
    for found in members_of(module).values():
        if base and isinstance(found, type) and found.__module__ == module.__name__ and issubclass(found, base):
            yield Target(found)


def training(call: Call) -> Fit | None:
    """Record what predicts, clusters or searches; preparing data alone is no training."""
    kind = cast(
        "type[Any]", type(final_step(call.owner))
    )  # what it delegates to a member, it has only when that is fitted
    return Fit(call) if hasattr(kind, "predict") or hasattr(kind, "fit_predict") else None


class Fit:
    """One `fit` of an estimator."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._estimator = call.owner
        self._last = final_step(call.owner)
        self._callbacks: list[Any] | None = None
        self.name = type(call.owner).__name__

    def before(self, recorder: Recorder) -> None:
        """Log the params of the estimator, and of those inside it."""
        with recorder.going_on("the params"):
            recorder.params(self._estimator.get_params(deep=True))
        version = sys.modules[NAME].__version__
        recorder.tags({"autolog": f"scikit-learn {version}", **class_tags(self._estimator)})
        with recorder.going_on("the score of each iteration"):
            self._attach(Iterations(recorder))

    def release(self) -> None:
        """Take the callback off."""
        if self._callbacks is not None:
            self._last.set_callbacks(*self._callbacks)

    def after(self, recorder: Recorder, result: Any) -> None:
        """Log scores, what the estimator keeps of its iterations, and the model."""
        del result  # the estimator itself
        best = self._estimator
        if search.is_search(best):
            with recorder.going_on("the search"):
                search.log_search(recorder, best)
            best = getattr(best, "best_estimator_", None)
        if best is None:  # the search was asked to fit no model in the end
            return
        log_iterations(recorder, final_step(best))
        with recorder.going_on("the training score"):
            self._score(recorder)
        recorder.model(best, first_rows(self._data()))

    def _attach(self, callback: Iterations) -> None:
        if search.is_search(self._last) or not hasattr(self._last, "set_callbacks"):  # new in scikit-learn 1.9
            return
        before: list[Any] = list(getattr(self._last, "_skl_callbacks", ()))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # it says so where this solver calls nobody
            try:
                self._last.set_callbacks(*before, callback)
            except UserWarning:
                return
        self._callbacks = before

    def _score(self, recorder: Recorder) -> None:
        score, data, answers = getattr(self._estimator, "score", None), self._data(), self._call.argument("y")
        if score is None or data is None:
            return
        recorder.metrics({"training_score": _score_of(self._estimator, data, answers)})
        rows = row_count(data)
        if rows and rows > _SCORED_ROWS:
            recorder.tags({"training_score_rows": row_count(spread_rows(data, _SCORED_ROWS))})

    def _data(self) -> Any:
        return self._call.argument("X")


class Iterations:
    """A callback of scikit-learn's own kind: the training score after each iteration."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing to prepare."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing to leave."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing has happened yet."""

    def on_fit_task_end(
        self,
        estimator: Any,
        context: Any,
        *,
        X: Any = None,  # noqa: N803
        y: Any = None,
        fitted_estimator: Any = None,
    ) -> None:
        """Score the estimator as it is after this iteration."""
        del estimator
        if fitted_estimator is None or context.max_subtasks != 0:  # what holds iterations is none itself
            return
        with self._recorder.going_on("the score of each iteration"):
            score = _score_of(fitted_estimator, X, y)
            self._recorder.metrics({"training_score": score}, step=context.task_id)


def final_step(estimator: Any) -> Any:
    """Give the last step of a pipeline, and any other estimator itself."""
    while hasattr(estimator, "steps") and hasattr(estimator.steps[-1][1], "get_params"):
        estimator = estimator.steps[-1][1]
    return estimator


def log_iterations(recorder: Recorder, estimator: Any) -> None:
    """Log what an estimator has kept of its iterations, and which features it found important."""
    for attribute, name in _CURVES.items():
        values = getattr(estimator, attribute, None)
        if values is not None:
            recorder.curve(name, values)
    numbers = {name.rstrip("_"): _number(getattr(estimator, name, None)) for name in _NUMBERS}
    recorder.metrics({name: number for name, number in numbers.items() if number is not None})
    with recorder.going_on("the importance of the features"):
        importances = getattr(estimator, "feature_importances_", None)
        if importances is not None:
            names = getattr(estimator, "feature_names_in_", range(len(importances)))
            pairs = {str(name): float(value) for name, value in zip(names, importances, strict=True)}
            recorder.document(pairs, "feature_importance.json")


def _number(value: Any) -> float | None:
    value = plain(value)
    if isinstance(value, list) and len(cast("list[Any]", value)) == 1:  # one count per class, of which there is one
        value = cast("list[Any]", value)[0]
    return value if isinstance(value, (int, float)) else None


def _score_of(estimator: Any, data: Any, answers: Any) -> float:
    data = spread_rows(data, _SCORED_ROWS)
    return estimator.score(data) if answers is None else estimator.score(data, spread_rows(answers, _SCORED_ROWS))
