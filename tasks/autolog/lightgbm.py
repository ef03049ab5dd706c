"""LightGBM: `lightgbm.train`, and the estimators' `fit`, through its callbacks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from .libraries import Call, Target, members_of
from .recorder import Recorder
from .values import class_tags, first_rows

__all__ = ["NAME", "PACKAGES", "targets", "training"]

NAME = "lightgbm"
PACKAGES = ("lightgbm",)


def targets(module: ModuleType) -> Iterable[Target]:
    """Give `train` and the estimators, once the whole package is there."""
    if module.__name__ != NAME:
        return
    library: Any = module
    yield Target(library, "train")
    yield Target(library.engine, "train")
    for found in members_of(library.sklearn).values():
        if isinstance(found, type) and issubclass(found, library.LGBMModel):
            yield Target(found)


def training(call: Call) -> Boosting:
    """Record every training."""
    return Boosting(call)


class Boosting:
    """One `lightgbm.train`, or one `fit` of an estimator."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._estimator = call.owner if isinstance(call.owner, sys.modules[NAME].LGBMModel) else None
        self.name = NAME if self._estimator is None else type(self._estimator).__name__

    def before(self, recorder: Recorder) -> None:
        """Log the params, and add the callback."""
        recorder.params(self._params())
        recorder.tags(self._tags())
        self._call.replace("callbacks", [*(self._call.argument("callbacks") or ()), Iterations(recorder)])

    def release(self) -> None:
        """Leave all as it is: the list was this call's own."""

    def after(self, recorder: Recorder, result: Any) -> None:
        """Log what the booster tells, and the model."""
        booster = result if self._estimator is None else self._estimator.booster_
        if booster.best_iteration > 0:
            recorder.metrics({"best_iteration": booster.best_iteration})
            scores = {
                f"best_{data}_{name}": value
                for data, found in booster.best_score.items()
                for name, value in found.items()
            }
            recorder.metrics(scores)
        with recorder.going_on("the importance of the features"):
            recorder.document(_importances(booster), "feature_importance.json")
        if self._estimator is None:
            recorder.model(result)
        else:
            recorder.model(self._estimator, first_rows(self._call.argument("X")))

    def _params(self) -> dict[str, Any]:
        params: dict[str, Any] = (
            dict(self._call.argument("params") or {}) if self._estimator is None else self._estimator.get_params()
        )
        rounds = None if self._estimator is not None else self._call.argument("num_boost_round")
        found = {**params, "num_boost_round": rounds}
        return {name: value for name, value in found.items() if value is not None}

    def _tags(self) -> dict[str, str]:
        tags = {"autolog": f"lightgbm {sys.modules[NAME].__version__}"}
        if self._estimator is not None:
            tags |= class_tags(self._estimator)
        return tags


class Iterations:
    """A callback of LightGBM: the metrics of each iteration."""

    order = 20  # before its own early stopping, which ends the iteration by an exception
    before_iteration = False

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __call__(self, env: Any) -> None:
        """Log the metrics of this iteration."""
        with self._recorder.going_on("the metrics of an iteration"):
            values = {f"{data}_{name}": value for data, name, value, *_ in env.evaluation_result_list or ()}
            self._recorder.metrics(values, step=env.iteration)


def _importances(booster: Any) -> dict[str, dict[str, float]]:
    names: list[str] = booster.feature_name()
    return {
        kind: dict(zip(names, map(float, booster.feature_importance(kind)), strict=True)) for kind in ("split", "gain")
    }
