"""Loading halves of the flavors: from files of a model folder to an object that predicts."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["LOADERS", "Loader", "load_function", "load_sklearn"]

# Gives the library's own object, and a function from input data to predictions.
Loader = Callable[[Path, Mapping[str, Any]], tuple[Any, Callable[[Any], Any]]]


def load_sklearn(folder: Path, config: Mapping[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
    """Load a scikit-learn estimator."""
    estimator = _unpickle(folder, config["pickled_model"])
    return estimator, getattr(estimator, config.get("predict_fn") or "predict")


def load_function(folder: Path, config: Mapping[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
    """Load a pickled function, or any object with `predict`."""
    model = _unpickle(folder, config["python_model"])
    predict = getattr(model, "predict", None)
    return model, predict if callable(predict) else model


LOADERS: Mapping[str, Loader] = {"sklearn": load_sklearn, "python_function": load_function}


def _unpickle(folder: Path, name: str) -> Any:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"its file {name!r} lies outside its folder")
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - the caller has verified the manifest and that the digest is trusted
