"""CatBoost, in its own format."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import Loaded, Material, Written, inside, is_a

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "catboost"
_FILE = "model.cb"
_KINDS = ("CatBoost", "CatBoostClassifier", "CatBoostRanker", "CatBoostRegressor")
_FORMATS = ("cbm", "json", "onnx", "coreml")


def matches(model: Any) -> bool:
    """Whether the model is one of the library's own classes; those derived from them are more than their files."""
    return is_a(model, "catboost.core.CatBoost") and type(model).__name__ in _KINDS


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the model."""
    model.save_model(str(folder / _FILE), format="cbm")
    config = {"data": _FILE, "model_type": type(model).__name__, "save_format": "cbm"}
    version = {"catboost_version": importlib.import_module("catboost").__version__}
    return Written({**config, **version}, loader="mlflow.catboost", python_function={"data": _FILE})


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a model."""
    kind, form = config.get("model_type"), config.get("save_format") or "cbm"
    if kind not in _KINDS or form not in _FORMATS:
        raise ValueError(f"its class {kind!r}, saved as {form!r}, is none of CatBoost's")
    native = getattr(importlib.import_module("catboost"), str(kind))()
    native.load_model(str(inside(folder, config.get("data"))), form)
    return Loaded(native, lambda data, params: native.predict(data, **(params or {})))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Nothing: the file is data."""
    return ()


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library."""
    return ("catboost",)
