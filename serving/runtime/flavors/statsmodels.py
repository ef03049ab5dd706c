"""statsmodels: fitted results, which it knows only to pickle."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import Loaded, Material, Written, is_a
from .pickles import read_pickle, write_pickle

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "statsmodels"
_FILE = "model.pkl"


def matches(model: Any) -> bool:
    """Whether the model is what `fit` has given."""
    return is_a(model, "statsmodels.base.model.Results", "statsmodels.base.wrapper.ResultsWrapper")


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the results."""
    write_pickle(model, folder / _FILE)
    version = {"statsmodels_version": importlib.import_module("statsmodels").__version__}
    return Written({"data": _FILE, **version}, loader="mlflow.statsmodels", python_function={"data": _FILE})


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load results; those of a time series predict for one row that says `start` and `end`."""
    native = read_pickle(folder, config.get("data"))
    if is_a(native.model, "statsmodels.tsa.base.tsa_model.TimeSeriesModel"):
        return Loaded(native, lambda data, params: _between(native, data, params or {}))
    return Loaded(native, lambda data, params: native.predict(data, **(params or {})))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """A pickle is code."""
    return (f"the pickle {config.get('data')}",)


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library."""
    return ("statsmodels",)


def _between(native: Any, data: Any, params: Mapping[str, Any]) -> Any:
    if len(data) != 1 or not {"start", "end"} <= set(getattr(data, "columns", ())):
        raise ValueError("a time series predicts for one row with the columns 'start' and 'end'")
    return native.predict(start=data["start"].iloc[0], end=data["end"].iloc[0], **params)
