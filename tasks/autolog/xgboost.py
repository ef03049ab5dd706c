"""XGBoost: `xgboost.train`, and the estimators' `fit`, through its TrainingCallback."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from .libraries import Call, Target, members_of
from .recorder import Recorder
from .values import class_tags, first_rows

__all__ = ["NAME", "PACKAGES", "targets", "training"]

NAME = "xgboost"
PACKAGES = ("xgboost",)


def targets(module: ModuleType) -> Iterable[Target]:
    """Give `train` and the estimators, once the whole package is there."""
    if module.__name__ != NAME:
        return
    library: Any = module
    yield Target(library, "train")
    yield Target(library.training, "train")
    for found in members_of(library.sklearn).values():
        if isinstance(found, type) and issubclass(found, library.XGBModel):
            yield Target(found)


def training(call: Call) -> Boosting | EstimatorFit:
    """Record every training."""
    return EstimatorFit(call) if isinstance(call.owner, _xgboost().XGBModel) else Boosting(call)


class Boosting:
    """One `xgboost.train`."""

    name = NAME

    def __init__(self, call: Call) -> None:
        self._call = call
        self._kind: str | None = None

    def before(self, recorder: Recorder) -> None:
        """Log the params, and add the callback."""
        params = dict(self._call.argument("params") or {})
        self._kind = params.get("booster")
        more = {name: self._call.argument(name) for name in ("num_boost_round", "early_stopping_rounds", "maximize")}
        recorder.params({**params, **{name: value for name, value in more.items() if value is not None}})
        recorder.tags(_tags())
        # First in the list: the ones after a callback that stops the training are not called.
        self._call.replace("callbacks", [_callback(recorder), *(self._call.argument("callbacks") or ())])

    def release(self) -> None:
        """Leave all as it is: the list was this call's own."""

    def after(self, recorder: Recorder, result: Any) -> None:
        """Log what the booster tells, and the model."""
        _log_booster(recorder, result, self._kind)
        recorder.model(result)


class EstimatorFit:
    """One `fit` of an estimator. Its callbacks are an attribute, which is lent for the time of the fit."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._estimator = call.owner
        self._callbacks = call.owner.callbacks
        # A forest is grown in one round, and refuses callbacks.
        self._is_forest = isinstance(call.owner, (_xgboost().XGBRFClassifier, _xgboost().XGBRFRegressor))
        self.name = type(call.owner).__name__

    def before(self, recorder: Recorder) -> None:
        """Log the params that were set, and add the callback."""
        params: dict[str, Any] = self._estimator.get_params()
        recorder.params({name: value for name, value in params.items() if value is not None})
        recorder.tags({**_tags(), **class_tags(self._estimator)})
        if not self._is_forest:
            self._estimator.callbacks = [_callback(recorder), *(self._callbacks or ())]

    def release(self) -> None:
        """Give the estimator its own callbacks back."""
        if not self._is_forest:
            self._estimator.callbacks = self._callbacks

    def after(self, recorder: Recorder, result: Any) -> None:
        """Log what the booster tells, and the model."""
        del result  # the estimator itself
        if self._is_forest:
            recorder.metrics(_latest(getattr(self._estimator, "evals_result_", {})))
        _log_booster(recorder, self._estimator.get_booster(), self._estimator.booster)
        recorder.model(self._estimator, first_rows(self._call.argument("X")))


def _callback(recorder: Recorder) -> Any:
    class Iterations(_xgboost().callback.TrainingCallback):  # pyright: ignore[reportUntypedBaseClass]
        def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, Any]]) -> bool:
            del model
            with recorder.going_on("the metrics of an iteration"):
                recorder.metrics(_latest(evals_log), step=epoch)
            return False

    return Iterations()


def _latest(evals_log: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{data}_{name}": values[-1] for data, metrics in evals_log.items() for name, values in metrics.items()}


def _log_booster(recorder: Recorder, booster: Any, kind: str | None) -> None:
    attributes: Mapping[str, str] = booster.attributes()
    best = {name: float(attributes[name]) for name in ("best_iteration", "best_score") if name in attributes}
    recorder.metrics(best)
    with recorder.going_on("the importance of the features"):
        types = ("weight",) if kind == "gblinear" else ("weight", "gain", "cover")
        scores = {name: booster.get_score(importance_type=name) for name in types}
        recorder.document(scores, "feature_importance.json")


def _tags() -> dict[str, str]:
    return {"autolog": f"xgboost {_xgboost().__version__}"}


def _xgboost() -> Any:
    return sys.modules[NAME]
