"""scikit-learn: estimators, pipelines and what follows their interface; also a single method of one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import Loaded, Material, Written, is_a
from .pickles import read_pickle, write_pickle
from .skopses import modules_in, read_skops, strangers, write_skops

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "sklearn"
_SKOPS = "model.skops"
_PICKLE = "model.pkl"
_BY_ITSELF = ("predict", "transform")  # what answers where nobody says which method
_MLFLOWS = ("predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba", "score")
_METHODS = (*_MLFLOWS, "decision_function", "score_samples", "transform", "kneighbors")


def matches(model: Any) -> bool:
    """Whether the model is an estimator, or a method of one such as `estimator.predict_proba`."""
    estimator, method = _parts(model)
    return is_a(estimator, "sklearn.base.BaseEstimator") and method in _METHODS and hasattr(estimator, method)


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the estimator, with skops where that can hold it."""
    estimator, method = _parts(model)
    config: dict[str, Any] = {"sklearn_version": sys.modules["sklearn"].__version__, "predict_fn": method}
    again: Loaded | None = None
    if written := write_skops(estimator, folder / _SKOPS):
        config |= {"pickled_model": _SKOPS, "serialization_format": "skops", "skops_trusted_types": written[0]}
        again = _answering(written[1], method)
    else:
        write_pickle(estimator, folder / _PICKLE)
        config |= {"pickled_model": _PICKLE, "serialization_format": "cloudpickle"}
    if method not in _MLFLOWS:
        return Written(config, loaded=again)
    python_function = {"model_path": config["pickled_model"], "predict_fn": method}
    return Written(config, "mlflow.sklearn", python_function, again)


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load an estimator."""
    file = config.get("pickled_model")
    estimator = read_skops(folder, file) if _is_skops(config) else read_pickle(folder, file)
    return _answering(estimator, config.get("predict_fn") or _parts(estimator)[1])


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """A pickle is code; a file of skops is not, unless it holds types that nobody knows."""
    file = config.get("pickled_model")
    if not _is_skops(config):
        return (f"the pickle {file}",)
    return tuple(f"the type {name} in {file}" for name in strangers(folder, file))


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library, and where skops writes, what it names."""
    if not _is_skops(config):
        return ("sklearn",)
    return ("sklearn", "skops", *sorted(modules_in(folder, config.get("pickled_model"))))


def _answering(estimator: Any, method: Any) -> Loaded:
    if method not in _METHODS:
        raise ValueError(f"its method {method!r} is none that estimators answer with")
    answer = getattr(estimator, method)
    return Loaded(estimator, lambda data, params: answer(data, **(params or {})))


def _is_skops(config: Mapping[str, Any]) -> bool:
    return config.get("serialization_format") == "skops"


def _parts(model: Any) -> tuple[Any, str]:
    estimator = getattr(model, "__self__", None)
    if estimator is not None:
        return estimator, str(getattr(model, "__name__", ""))
    return model, next((name for name in _BY_ITSELF if hasattr(model, name)), "")
