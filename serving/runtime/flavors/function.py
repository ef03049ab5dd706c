"""Plain Python: a function, any object with `predict`, and whatever brings a loader of its own."""

from __future__ import annotations

import importlib
import inspect
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .base import Loaded, Material, Predict, Written, inside
from .pickles import read_pickle, write_pickle

__all__ = ["NAME", "Context", "executes", "load", "matches", "packages", "save"]

NAME = "python_function"
_FILE = "python_model.pkl"
_ARTIFACTS = "artifacts"


@dataclass(frozen=True)
class Context:
    """What a model's `predict(self, context, data, params=None)` is given.

    Attributes:
        artifacts: Paths of the files and folders that it was saved with, by name.
        model_config: Settings of the model; empty here, MLflow's models look for it.
    """

    artifacts: Mapping[str, str]
    model_config: Mapping[str, Any]


def matches(model: Any) -> bool:
    """Whether the model can be called on data, or has `predict`; a class is neither, for it takes no data."""
    return not isinstance(model, type) and (callable(model) or callable(getattr(model, "predict", None)))


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the function or object, and its artifacts beside it."""
    write_pickle(model, folder / _FILE)
    for name, source in material.artifacts.items():
        target = folder / _ARTIFACTS / name / source.name
        target.parent.mkdir(parents=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    paths = {name: f"{_ARTIFACTS}/{name}/{source.name}" for name, source in material.artifacts.items()}
    return Written({"python_model": _FILE, **({"artifacts": paths} if paths else {})})


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a pickled function or object, or ask the loader that the model names."""
    if "python_model" not in config:
        return _by_loader(folder, config)
    model = read_pickle(folder, config["python_model"])
    context = Context({name: str(path) for name, path in _artifacts(folder, config)}, {})
    prepare = getattr(model, "load_context", None)
    if callable(prepare):
        prepare(context)
    return Loaded(model, _predict_of(model, context))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """A pickle, or a loader of its own: all of it is code."""
    if "python_model" in config:
        return (f"the pickle {config['python_model']}",)
    return (f"the loader {config.get('loader_module')}",)


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The pickle names them."""
    return ()


def _artifacts(folder: Path, config: Mapping[str, Any]) -> list[tuple[str, Path]]:
    given: Any = config.get("artifacts") or {}
    if not isinstance(given, Mapping):
        raise ValueError("its artifacts are no mapping")
    # MLflow writes {"path": ..., "uri": ...} for each, we write the path.
    return [
        (str(name), inside(folder, cast("Any", entry).get("path") if isinstance(entry, Mapping) else entry))
        for name, entry in cast("Mapping[Any, Any]", given).items()
    ]


def _predict_of(model: Any, context: Context) -> Predict:
    method = getattr(model, "predict", None)
    call = cast("Callable[..., Any]", method if callable(method) else model)
    names = _positional(call)
    lead: tuple[Any, ...] = (context,) if method is not None and names[:1] == ["context"] else ()
    if len(names) > len(lead) + 1 and names[len(lead) + 1] == "params":
        return lambda data, params: call(*lead, data, params=params)
    return lambda data, params: call(*lead, data)


def _positional(call: Callable[..., Any]) -> list[str]:
    try:
        found = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return []  # C functions say nothing; they take the data
    return [one.name for one in found if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]


def _by_loader(folder: Path, config: Mapping[str, Any]) -> Loaded:
    name = str(config.get("loader_module"))
    if name.partition(".")[0] == "mlflow":
        raise ValueError(f"only MLflow can load it, by {name}; install mlflow, and save it anew with prefect-ml")
    data = inside(folder, config["data"]) if config.get("data") else folder
    model = importlib.import_module(name)._load_pyfunc(str(data))
    return Loaded(model, _predict_of(model, Context({}, {})))
