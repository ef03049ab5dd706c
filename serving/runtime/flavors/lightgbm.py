"""LightGBM: boosters as its own text, estimators with skops."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from .base import Loaded, Material, Written, inside, is_a, name_of_class
from .pickles import read_pickle, write_pickle
from .skopses import modules_in, read_skops, strangers, write_skops

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "lightgbm"
_TEXT = "model.lgb"
_SKOPS = "model.skops"
_PICKLE = "model.pkl"
_BOOSTER = "lightgbm.basic.Booster"


def matches(model: Any) -> bool:
    """Whether the model is one of the library's own classes; those derived from them are more than their files."""
    return is_a(model, _BOOSTER, "lightgbm.sklearn.LGBMModel") and type(model).__module__.startswith("lightgbm.")


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write a booster as text, an estimator with skops, or pickled where it holds a function of the user's own."""
    lightgbm = importlib.import_module("lightgbm")
    kind = cast("type[Any]", type(model))
    config: dict[str, Any] = {"model_class": name_of_class(kind), "lgb_version": lightgbm.__version__}
    if isinstance(model, lightgbm.Booster):
        file = _TEXT
        model.save_model(folder / _TEXT)
    elif written := write_skops(model, folder / _SKOPS):
        file = _SKOPS
        config |= {"serialization_format": "skops", "skops_trusted_types": written[0]}
    else:
        file = _PICKLE
        write_pickle(model, folder / _PICKLE)
        config |= {"serialization_format": "cloudpickle"}
    return Written({"data": file, **config}, loader="mlflow.lightgbm", python_function={"data": file})


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a booster or an estimator."""
    file = config.get("data")
    if _is_booster(config):
        native = importlib.import_module("lightgbm").Booster(model_file=inside(folder, file))
    else:
        native = read_skops(folder, file) if _is_skops(config) else read_pickle(folder, file)
    return Loaded(native, lambda data, params: native.predict(data, **(params or {})))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """A pickle is code; a booster's text is not, nor is a file of skops, unless it holds types that nobody knows."""
    file = config.get("data")
    if _is_booster(config):
        return ()
    if _is_skops(config):
        return tuple(f"the type {name} in {file}" for name in strangers(folder, file))
    return (f"the pickle {file}",)


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library, and what a file of skops names."""
    if _is_booster(config):
        return ("lightgbm",)
    named = sorted(modules_in(folder, config.get("data"))) if _is_skops(config) else ()
    return ("lightgbm", "sklearn", *(("skops", *named) if named else ()))


def _is_booster(config: Mapping[str, Any]) -> bool:
    return str(config.get("model_class") or _BOOSTER) == _BOOSTER


def _is_skops(config: Mapping[str, Any]) -> bool:
    return config.get("serialization_format") == "skops"
