"""ONNX: models as their own files, which run nothing but the graph that they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np

from .base import Loaded, Material, Predict, Written, inside, is_a

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "onnx"
_FILE = "model.onnx"
_MOST_BYTES = 2**31 - 2**20  # of one file; more lies beside it
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
_CPU = "CPUExecutionProvider"


class _Opened(Loaded):
    """A model that runs; the library's own object is read when it is asked for, as running does not need it."""

    def __init__(self, read: Callable[[], Any], predict: Predict) -> None:
        object.__setattr__(self, "_read", read)
        object.__setattr__(self, "predict", predict)

    @property
    def native(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The `onnx.ModelProto`."""
        return cast("Any", self)._read()


def matches(model: Any) -> bool:
    """Whether the model is a `ModelProto`."""
    return is_a(model, "onnx.onnx_ml_pb2.ModelProto", "onnx.onnx_pb.ModelProto")


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the model, and weights beside it where one file cannot hold them."""
    onnx: Any = import_module("onnx")
    try:
        onnx.checker.check_model(model)
        onnx.save_model(model, folder / _FILE, save_as_external_data=model.ByteSize() > _MOST_BYTES)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"it is no valid ONNX model ({' '.join(str(error).split())})") from error
    return Written(
        {"onnx_version": onnx.__version__, "data": _FILE, "providers": list(_PROVIDERS), "onnx_session_options": None},
        loader="mlflow.onnx",
        python_function={"data": _FILE},
    )


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a model into onnxruntime, on a graphics card where the model may use it and there is one."""
    runtime: Any = import_module("onnxruntime")
    path = inside(folder, config.get("data"))
    providers = _providers(config.get("providers"), runtime.get_available_providers())
    session = runtime.InferenceSession(path, sess_options=_options(runtime, config), providers=providers)
    inputs = {one.name: one for one in session.get_inputs()}
    names = [one.name for one in session.get_outputs()]

    def predict(data: Any, params: Mapping[str, Any] | None) -> dict[str, Any]:
        return dict(zip(names, session.run(names, _feeds(data, inputs)), strict=True))

    return _Opened(lambda: import_module("onnx").load(path), predict)


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Nothing."""
    return ()


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """What runs the model."""
    return ("onnxruntime", "numpy")


def _providers(wanted: Any, available: list[str]) -> list[Any]:
    listed: list[Any] = [wanted] if isinstance(wanted, str) else list(wanted or _PROVIDERS)
    # Settings of a provider stand beside its name, as a list in YAML and as a tuple for onnxruntime.
    given: list[Any] = [tuple(cast("list[Any]", one)) if isinstance(one, list) else one for one in listed]
    return [one for one in given if (one[0] if isinstance(one, tuple) and one else one) in available] or [_CPU]


def _options(runtime: Any, config: Mapping[str, Any]) -> Any:
    options = runtime.SessionOptions()
    given: Mapping[str, Any] = config.get("onnx_session_options") or {}
    for name in ("intra_op_num_threads", "inter_op_num_threads"):
        if given.get(name):
            setattr(options, name, int(given[name]))
    if str(given.get("execution_mode")).upper() == "PARALLEL":
        options.execution_mode = runtime.ExecutionMode.ORT_PARALLEL
    if given.get("graph_optimization_level"):
        options.graph_optimization_level = runtime.GraphOptimizationLevel(int(given["graph_optimization_level"]))
    return options


def _feeds(data: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(data, Mapping) and len(inputs) == 1:
        (name,) = inputs
        return {name: _fitting(data.to_numpy() if hasattr(data, "columns") else data, inputs[name])}
    if not isinstance(data, Mapping) and not hasattr(data, "columns"):
        raise ValueError(f"the model takes several arrays ({', '.join(inputs)}); give a dict of them or a DataFrame")
    named = cast("Any", data)
    return {name: _fitting(named[name], one) for name, one in inputs.items() if name in named}


def _fitting(values: Any, wanted: Any) -> Any:
    """Give an array in the type that an input takes: most numbers come in double precision, and few models take it."""
    array = np.asarray(values)
    kind = _TYPES.get(wanted.type)
    if kind is not None and array.dtype != kind and np.can_cast(array.dtype, kind, "same_kind"):
        array = array.astype(kind)
    if array.ndim == 1 and len(wanted.shape or ()) == 2:  # one column of a table
        array = array.reshape(-1, 1)
    return array


_TYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(int64)": "int64",
    "tensor(int32)": "int32", "tensor(int16)": "int16", "tensor(int8)": "int8", "tensor(uint8)": "uint8",
}  # fmt: skip
