"""TensorFlow: modules as SavedModel folders, which hold graphs and no Python."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np

from .base import Loaded, Material, Predict, Written, inside, is_a

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "tensorflow"
_FOLDER = "tf2model"
_KERAS = "keras"
_SIGNATURE = "serving_default"


def matches(model: Any) -> bool:
    """Whether the model is a `tf.Module`, or what `tf.saved_model.load` gave."""
    return is_a(model, "tensorflow.python.trackable.autotrackable.AutoTrackable")


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the module's graphs; one that was made for no shape yet is made for that of the example."""
    tf: Any = import_module("tensorflow")
    _trace(tf, model, material.example)
    tf.saved_model.save(model, str(folder / _FOLDER), signatures=dict(getattr(model, "signatures", {})) or None)
    return Written({"saved_model_dir": _FOLDER, "model_type": "tf2-module"}, loader="mlflow.tensorflow")


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a SavedModel, or a model of Keras that MLflow wrote under this name."""
    if _is_keras(config):
        return _keras_flavor().load(folder, {**config, "keras_backend": "tensorflow"})
    tf: Any = import_module("tensorflow")
    path = str(inside(folder, config.get("saved_model_dir")))
    if config.get("signature_def_key"):
        model = tf.saved_model.load(path, tags=config.get("meta_graph_tags"))
        return Loaded(model, _predict_by(tf, model, str(config["signature_def_key"])))
    model = tf.saved_model.load(path)
    return Loaded(model, _predict_of(tf, model) if callable(model) else _predict_by(tf, model, _SIGNATURE))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Nothing of Python; what Keras may hold, where it is Keras."""
    return _keras_flavor().executes(folder, config) if _is_keras(config) else ()


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library."""
    return ("tensorflow", "numpy", *((_KERAS,) if _is_keras(config) else ()))


def _is_keras(config: Mapping[str, Any]) -> bool:
    return config.get("model_type") == _KERAS


def _keras_flavor() -> Any:
    return import_module(".keras", __package__)  # not beside our own models, which are never Keras here


def _trace(tf: Any, model: Any, example: Any) -> None:
    if not callable(model):
        if not getattr(model, "signatures", None):
            raise ValueError("it has no __call__; give it one, decorated with @tf.function")
        return
    function: Any = type(model).__call__ if not hasattr(model.__call__, "get_concrete_function") else model.__call__
    if not hasattr(function, "get_concrete_function"):
        raise ValueError("its __call__ is plain Python; decorate it with @tf.function")
    if isinstance(example, np.ndarray) and getattr(function, "input_signature", True) is None:
        array = cast("Any", example)
        function.get_concrete_function(tf.TensorSpec((None, *array.shape[1:]), array.dtype))


def _predict_of(tf: Any, model: Any) -> Predict:
    functions = getattr(model.__call__, "concrete_functions", ())
    specs: list[Any] = list(tf.nest.flatten(functions[0].structured_input_signature[0])) if functions else []

    def predict(data: Any, params: Mapping[str, Any] | None) -> Any:
        if _is_named(data) and getattr(model, "signatures", None):
            return _predict_by(tf, model, _SIGNATURE)(data, params)
        given = data.to_numpy() if hasattr(data, "columns") else data
        return _as_arrays(model(_tensor(tf, given, specs[0] if specs else None), **(params or {})))

    return predict


def _predict_by(tf: Any, model: Any, key: str) -> Predict:
    if key not in model.signatures:
        raise ValueError(f"it has no signature {key!r}, only {', '.join(model.signatures) or 'none'}")
    function = model.signatures[key]
    specs: dict[str, Any] = function.structured_input_signature[1]

    def predict(data: Any, params: Mapping[str, Any] | None) -> Any:
        given = data if _is_named(data) or hasattr(data, "columns") else {next(iter(specs)): data}
        return _as_arrays(function(**{name: _tensor(tf, given[name], spec) for name, spec in specs.items()}))

    return predict


def _is_named(data: Any) -> bool:
    return isinstance(data, Mapping)


def _tensor(tf: Any, values: Any, spec: Any) -> Any:
    array = np.asarray(values)
    kind = getattr(getattr(spec, "dtype", None), "as_numpy_dtype", None)
    if kind is not None and array.dtype.kind == "f" and np.dtype(kind).kind == "f":
        array = array.astype(kind)  # most numbers come in double precision, and few graphs take it
    return tf.convert_to_tensor(array)


def _as_arrays(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _as_arrays(item) for name, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return tuple(_as_arrays(item) for item in cast("list[Any]", value))
    return value.numpy() if hasattr(value, "numpy") else value
