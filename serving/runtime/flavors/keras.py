"""Keras 3: models in the `.keras` format, read in its safe mode unless they hold functions of their own."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from .base import Loaded, Material, Written, inside, is_a
from .pickles import read_pickle, write_pickle

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "keras"
_DATA = "data"
_STEM = "model"
_CUSTOM = "custom_objects.pkl"
_PICKLES = (_CUSTOM, "custom_objects.cloudpickle", "global_custom_objects.cloudpickle")  # ours, and MLflow's
_BACKENDS = ("tensorflow", "torch", "jax")


def matches(model: Any) -> bool:
    """Whether the model is one of Keras 3."""
    return is_a(model, "keras.src.models.model.Model")


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the model, and pickle the registered classes and functions that it is made of."""
    keras: Any = import_module("keras")
    data = folder / _DATA
    data.mkdir()
    model.save(data / f"{_STEM}.keras")
    (data / "keras_module.txt").write_text("keras")
    text = _config_of(data / f"{_STEM}.keras")
    custom = {name: value for name, value in keras.saving.get_custom_objects().items() if json.dumps(name) in text}
    if custom:
        write_pickle(custom, data / _CUSTOM)
    config = {"data": _DATA, "keras_version": keras.__version__, "keras_backend": keras.backend.backend()}
    # MLflow's own loader reads no classes beside the model, and no lambdas.
    loader = None if custom or _has_lambda(text) else "mlflow.keras"
    return Written({**config, "save_exported_model": False}, loader=loader)


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a model, with the backend that it was saved with unless Keras runs on another already."""
    data = inside(folder, config.get("data"))
    if config.get("save_exported_model"):
        exported = import_module("tensorflow").saved_model.load(str(inside(data, _STEM)))
        return Loaded(exported, lambda given, params: _as_arrays(exported.serve(_as_input(given))))
    keras = _keras(config.get("keras_backend"))
    path = _file_in(data)
    with ExitStack() as stack:
        for name in _pickles_in(data):
            stack.enter_context(keras.saving.custom_object_scope(read_pickle(data, name)))
        safe = not (path.suffix == ".keras" and _has_lambda(_config_of(path)))
        model = keras.saving.load_model(path, **({} if path.suffix == ".h5" else {"safe_mode": safe}))
    return Loaded(model, lambda given, params: _as_arrays(model.predict(_as_input(given), verbose=0, **(params or {}))))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Pickled classes, and lambdas, which Keras keeps as bytecode."""
    if config.get("save_exported_model"):
        return ()
    data = inside(folder, config.get("data"))
    root = folder.resolve()
    found = [f"the pickle {(data / name).relative_to(root).as_posix()}" for name in _pickles_in(data)]
    path = _file_in(data)
    if path.suffix == ".h5" or _has_lambda(_config_of(path)):
        found.append(f"the lambda layers of {path.relative_to(root).as_posix()}")
    return tuple(found)


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library, and its backend."""
    return ("keras", "numpy", str(config.get("keras_backend") or "tensorflow"))


def _keras(backend: Any) -> Any:
    if "keras" in sys.modules or "KERAS_BACKEND" in os.environ or backend not in _BACKENDS:
        return import_module("keras")
    os.environ["KERAS_BACKEND"] = str(backend)  # Keras reads it once, on import
    try:
        return import_module("keras")
    finally:
        del os.environ["KERAS_BACKEND"]


def _file_in(data: Path) -> Path:
    for name in (f"{_STEM}.keras", f"{_STEM}.h5"):
        if (data / name).exists():
            return inside(data, name)
    raise ValueError(f"its folder {data.name!r} holds no model of Keras 3; save it anew")


def _pickles_in(data: Path) -> list[str]:
    return [name for name in _PICKLES if (data / name).is_file()]


def _config_of(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json").decode()
    except (KeyError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise ValueError(f"its file {path.name!r} is no model of Keras ({error})") from error


def _has_lambda(config: str) -> bool:
    return '"__lambda__"' in config


def _as_input(data: Any) -> Any:
    return data.to_numpy() if hasattr(data, "columns") else data


def _as_arrays(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _as_arrays(item) for name, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return tuple(_as_arrays(item) for item in cast("list[Any]", value))
    return value.numpy() if hasattr(value, "numpy") else value
