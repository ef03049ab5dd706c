"""Estimators of scikit-learn, and of libraries that follow its interface."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import Loaded, Material, Written
from .pickles import read_pickle, write_pickle

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "sklearn"
_FILE = "model.pkl"


def matches(model: Any) -> bool:
    """Whether the model is an estimator that predicts."""
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(model, base.BaseEstimator) and hasattr(model, "predict")


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the estimator."""
    write_pickle(model, folder / _FILE)
    version = sys.modules["sklearn"].__version__
    return Written(
        {"pickled_model": _FILE, "serialization_format": "cloudpickle", "sklearn_version": version},
        loader="mlflow.sklearn",
        python_function={"model_path": _FILE, "predict_fn": "predict"},
    )


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a scikit-learn estimator."""
    estimator = read_pickle(folder, config.get("pickled_model"))
    predict = getattr(estimator, str(config.get("predict_fn") or "predict"))
    return Loaded(estimator, lambda data, params: predict(data))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """A pickle is code."""
    return (f"the pickle {config.get('pickled_model')}",)


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library."""
    return ("sklearn",)
