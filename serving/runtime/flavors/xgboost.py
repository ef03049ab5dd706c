"""XGBoost: boosters and estimators, in its own format."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from .base import Loaded, Material, Written, class_at, inside, is_a, name_of_class

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "xgboost"
_FILE = "model.ubj"
_BOOSTER = "xgboost.core.Booster"
_ESTIMATOR = "xgboost.sklearn.XGBModel"


def matches(model: Any) -> bool:
    """Whether the model is one of the library's own classes; those derived from them are more than their files."""
    return is_a(model, _BOOSTER, _ESTIMATOR) and type(model).__module__.startswith("xgboost.")


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the model as UBJSON."""
    kind = cast("type[Any]", type(model))
    model.save_model(folder / _FILE)
    config = {"data": _FILE, "model_class": name_of_class(kind), "model_format": "ubj"}
    version = {"xgb_version": importlib.import_module("xgboost").__version__}
    return Written({**config, **version}, loader="mlflow.xgboost", python_function={"data": _FILE})


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a booster or an estimator."""
    xgboost = importlib.import_module("xgboost")
    name = str(config.get("model_class") or _BOOSTER)
    kind: Any = class_at(name, package="xgboost", base=_BOOSTER if name == _BOOSTER else _ESTIMATOR)
    native = kind()
    native.load_model(inside(folder, config.get("data")))
    if isinstance(native, xgboost.Booster):
        return Loaded(native, lambda data, params: native.predict(xgboost.DMatrix(data), **(params or {})))
    return Loaded(native, lambda data, params: native.predict(data, **(params or {})))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Nothing: the file is data."""
    return ()


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library, and scikit-learn where its estimators are derived from that."""
    return ("xgboost",) if str(config.get("model_class") or _BOOSTER) == _BOOSTER else ("xgboost", "sklearn")
