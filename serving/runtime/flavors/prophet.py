"""Prophet, as its JSON."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import Loaded, Material, Written, inside, is_a

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "prophet"
_FILE = "model.pr"


def matches(model: Any) -> bool:
    """Whether the model is a Prophet; classes derived from it are more than its file."""
    return is_a(model, "prophet.forecaster.Prophet") and type(model).__module__.startswith("prophet.")


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write a fitted model."""
    text: str = importlib.import_module("prophet.serialize").model_to_json(model)
    (folder / _FILE).write_text(json.dumps(text))  # text in text, as MLflow reads it
    version = {"prophet_version": importlib.import_module("prophet").__version__}
    config = {"data": _FILE, "model_type": type(model).__name__, **version}
    return Written(config, loader="mlflow.prophet", python_function={"data": _FILE})


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a model; it predicts for a table whose column `ds` holds dates."""
    text = json.loads(inside(folder, config.get("data")).read_text())
    native = importlib.import_module("prophet.serialize").model_from_json(text)
    return Loaded(native, lambda data, params: native.predict(data, **(params or {})))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Nothing: the file is JSON."""
    return ()


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library."""
    return ("prophet",)
