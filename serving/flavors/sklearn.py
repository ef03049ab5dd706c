"""Estimators of scikit-learn, and of libraries that follow its interface."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .pickles import python_function, write_pickle

__all__ = ["NAME", "matches", "save"]

NAME = "sklearn"
_FILE = "model.pkl"


def matches(model: Any) -> bool:
    """Whether the model is an estimator that predicts."""
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(model, base.BaseEstimator) and hasattr(model, "predict")


def save(model: Any, folder: Path) -> dict[str, dict[str, Any]]:
    """Write the estimator."""
    write_pickle(model, folder / _FILE)
    version = sys.modules["sklearn"].__version__
    return {
        "python_function": {**python_function("mlflow.sklearn"), "model_path": _FILE, "predict_fn": "predict"},
        NAME: {
            "pickled_model": _FILE,
            "serialization_format": "cloudpickle",
            "sklearn_version": version,
        },
    }
