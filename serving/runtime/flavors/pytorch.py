"""PyTorch: TorchScript and exported programs as their own files, other modules as weights beside a skeleton.

The skeleton is the pickled module without its tensors; these stand in a safetensors file, from which they are mapped
into memory. A skeleton of nothing but PyTorch's own layers runs no code when it is read.
"""

from __future__ import annotations

import pickle
import sys
import threading
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np

from .base import Loaded, Material, Written, inside
from .pickles import read_pickle, write_pickle

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "pytorch"
_SKELETON = "skeleton.pkl"
_WEIGHTS = "weights.safetensors"
_LAYERS = "layers"  # how the skeleton is read: as PyTorch's own layers only, or as any pickle
_PICKLE = "pickle"
_DATA = "data"
_SCRIPT = "model.pth"
_PROGRAM = "model.pt2"


def matches(model: Any) -> bool:
    """Whether the model is a module, a TorchScript module or an exported program."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return False
    return isinstance(model, torch.nn.Module) or _is_program(model)


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the module, with files of MLflow's layout where it has one without pickles."""
    torch = _torch()
    version = {"pytorch_version": str(torch.__version__)}
    if not _is_program(model) and not isinstance(model, torch.jit.ScriptModule):
        return Written({**_save_module(model, folder), **version})
    (folder / _DATA).mkdir()
    if _is_program(model):
        torch.export.save(model, folder / _DATA / _PROGRAM)
    else:
        torch.jit.save(model, folder / _DATA / _SCRIPT)
        (folder / _DATA / "pickle_module_info.txt").write_text("pickle")  # MLflow looks for it, PyTorch needs it not
    return Written(
        {"model_data": _DATA, **version},
        loader="mlflow.pytorch",
        python_function={"data": _DATA, "model_config": {"device": None}},
    )


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a module, with its weights on the CPU."""
    torch = _torch()
    if "weights" in config:
        native = _load_module(folder, config)
    else:
        path = _model_file(folder, config)
        if path.suffix == ".pt2":
            native = torch.export.load(path)
            return Loaded(native, _Predicting(native.module()))
        if _is_script(path):
            native = torch.jit.load(path, map_location="cpu")
        else:
            native = torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=False)
    return Loaded(native, _Predicting(native))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """A skeleton of other classes than PyTorch's layers, pickles, and what PyTorch itself makes code of."""
    if "weights" in config:
        return () if config.get("skeleton_kind") == _LAYERS else (f"the pickle {config.get('skeleton')}",)
    path = _model_file(folder, config)
    name = path.relative_to(folder.resolve()).as_posix()
    if path.suffix == ".pt2":
        return (f"the exported program {name}",)  # PyTorch evaluates its guards and sizes as Python
    if _is_script(path):
        return (f"the TorchScript {name}",) if _runs_on_load(path) else ()
    return (f"the pickle {name}",)


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library, and the reader of weights; what the skeleton needs besides stands in it."""
    return ("torch", "numpy", *(("safetensors",) if "weights" in config else ()))


def _torch() -> Any:
    return import_module("torch")


def _is_program(model: Any) -> bool:
    module = sys.modules.get("torch.export")
    return module is not None and isinstance(model, module.ExportedProgram)


def _model_file(folder: Path, config: Mapping[str, Any]) -> Path:
    data = inside(folder, config.get("model_data"))
    if data.is_file():
        return data
    try:
        return inside(data, _SCRIPT)
    except ValueError:
        return inside(data, _PROGRAM)


def _is_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _runs_on_load(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        sources = [name for name in archive.namelist() if name.endswith(".py")]
        return any(b"def __setstate__" in archive.read(name) for name in sources)


class _Predicting:
    """Predicts in evaluation mode, and leaves the module in the mode that it finds."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._users = 0
        self._training: list[Any] = []

    def __call__(self, data: Any, params: Mapping[str, Any] | None) -> Any:
        """Predict; inference parameters are arguments of the module's `forward`."""
        torch = _torch()
        given = _as_tensors(data, self._module)
        with self._evaluating(), torch.inference_mode():
            if isinstance(given, dict):
                return _as_arrays(self._module(**given, **(params or {})))
            return _as_arrays(self._module(*given, **(params or {})))

    @contextmanager
    def _evaluating(self) -> Generator[None]:
        with self._lock:
            if not self._users:
                self._training = [module for module in self._module.modules() if module.training]
                self._set(False)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._set(True)

    def _set(self, training: bool) -> None:
        for module in self._training:
            module.training = training


def _as_tensors(data: Any, module: Any) -> Any:
    """Give the arguments of `forward`, by place or by name, on the device and in a precision of its parameters."""
    if isinstance(data, Mapping):
        return {str(name): _as_tensor(value, module) for name, value in cast("Mapping[Any, Any]", data).items()}
    if isinstance(data, tuple):
        return tuple(_as_tensor(value, module) for value in cast("tuple[Any, ...]", data))
    if hasattr(data, "columns"):
        data = data.to_numpy(dtype=np.float32)
    return (_as_tensor(data, module),)


def _as_tensor(value: Any, module: Any) -> Any:
    torch = _torch()
    device = next((tensor.device for tensor in module.parameters()), None)
    if isinstance(value, torch.Tensor):
        return value.to(device)
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise ValueError(f"the model takes numbers, not {array.dtype}")
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    return tensor.to(device, _precision(module, tensor.dtype) if array.dtype.kind == "f" else None)


def _precision(module: Any, given: Any) -> Any:
    """Choose the type for real numbers: most come in double precision, which layers of another do not take."""
    float32 = _torch().float32
    found: Any = None
    for tensor in module.parameters():
        if tensor.dtype == given:
            return given
        if tensor.is_floating_point() and found != float32:
            found = tensor.dtype
    return found


def _as_arrays(value: Any) -> Any:
    torch = _torch()
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).resolve_conj().numpy()
    if isinstance(value, Mapping):
        return {str(name): _as_arrays(item) for name, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return tuple(_as_arrays(item) for item in cast("list[Any]", value))
    return value


class _Outgoing:
    """Takes the tensors of a module for a file of their own, each storage once."""

    def __init__(self, module: Any) -> None:
        named = (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False))
        self._names = {_storage_of(tensor): name for name, tensor in reversed(named) if _is_plain(tensor)}
        self._places: dict[int, str] = {}
        self._numbers: dict[int, tuple[int, Any]] = {}  # the tensor is kept, so that no other takes its id
        self.kept: dict[str, Any] = {}

    def __call__(self, value: Any) -> tuple[Any, ...] | None:
        """Give what stands for a tensor in the skeleton; None for what is none, or cannot lie in the file."""
        if not _is_plain(value):
            return None
        name = self._places.get(_storage_of(value)) or self._keep(value)
        if self.kept[name].dtype != value.dtype:
            return None  # another view of these bytes; it goes into the skeleton
        number, _ = self._numbers.setdefault(id(value), (len(self._numbers), value))
        place = (name, tuple(value.shape), value.stride(), value.storage_offset())
        return (number, *place, value.requires_grad, _is_parameter(value), {**value.__dict__} or None)

    def _keep(self, value: Any) -> str:
        torch = _torch()
        key = _storage_of(value)
        name = self._places[key] = self._names.get(key, f"other.{len(self.kept)}")
        storage = value.untyped_storage()
        if value.is_contiguous() and value.nbytes == storage.nbytes():
            self.kept[name] = value.detach()
        else:  # several tensors may look at it, in other orders
            self.kept[name] = torch.empty(0, dtype=value.dtype, device=value.device).set_(storage)
        return name


class _Incoming:
    """Gives a skeleton its tensors back."""

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self._kept = kept
        self._made: dict[int, Any] = {}

    def __call__(self, reference: Any) -> Any:
        number = reference[0]
        if number not in self._made:
            self._made[number] = self._make(*reference[1:])
        return self._made[number]

    def _make(
        self, name: str, shape: Any, stride: Any, offset: int, requires_grad: bool, is_parameter: bool, extra: Any
    ) -> Any:
        torch = _torch()
        whole = self._kept.get(name)
        if whole is None:
            raise ValueError(f"its weights hold no tensor {name!r}")
        tensor = whole.as_strided(shape, stride, whole.storage_offset() + offset)
        made = torch.nn.Parameter(tensor, requires_grad) if is_parameter else tensor.requires_grad_(requires_grad)
        made.__dict__.update(extra or {})
        return made


class _Layers(pickle.Unpickler):
    """Reads a skeleton of PyTorch's own layers, and refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        torch = _torch()
        if (module, name) in _HARMLESS:
            return super().find_class(module, name)
        if "." not in name and (module.startswith("torch.nn.modules.") or module == "torch"):
            found = super().find_class(module, name)
            if isinstance(found, torch.dtype) or (isinstance(found, type) and issubclass(found, torch.nn.Module)):
                return found
        raise ValueError(f"its skeleton names {module}.{name}, though it says that it holds layers of PyTorch only")


_ACTIVATIONS = ("elu", "hardtanh", "leaky_relu", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "tanh")
_HARMLESS = frozenset({
    ("builtins", "set"), ("collections", "OrderedDict"), ("torch", "Size"), ("torch", "device"),
    ("torch._C._nn", "gelu"), *(("torch.nn.functional", name) for name in _ACTIVATIONS),
})  # fmt: skip


def _save_module(model: Any, folder: Path) -> dict[str, Any]:
    module = getattr(model, "_orig_mod", model)  # what torch.compile made belongs to this machine
    outgoing = _Outgoing(module)
    write_pickle(module, folder / _SKELETON, outside=outgoing)
    import_module("safetensors.torch").save_file(
        {name: tensor.cpu() for name, tensor in outgoing.kept.items()}, folder / _WEIGHTS
    )
    kind = _LAYERS
    try:
        _read_layers(folder / _SKELETON, _Incoming(outgoing.kept))
    except ValueError:
        kind = _PICKLE
    return {"skeleton": _SKELETON, "skeleton_kind": kind, "weights": _WEIGHTS}


def _load_module(folder: Path, config: Mapping[str, Any]) -> Any:
    safetensors: Any = import_module("safetensors.torch")
    try:
        kept = safetensors.load_file(inside(folder, config["weights"]))
    except import_module("safetensors").SafetensorError as error:
        raise ValueError(f"its weights cannot be read ({error})") from error
    if config.get("skeleton_kind") == _LAYERS:
        return _read_layers(inside(folder, config.get("skeleton")), _Incoming(kept))
    return read_pickle(folder, config.get("skeleton"), outside=_Incoming(kept))


def _read_layers(path: Path, incoming: _Incoming) -> Any:
    with path.open("rb") as file:
        unpickler: Any = _Layers(file)
        unpickler.persistent_load = incoming
        return unpickler.load()


def _is_plain(value: Any) -> bool:
    torch = _torch()
    return (
        type(value) in (torch.Tensor, torch.nn.Parameter)
        and value.layout == torch.strided
        and value.device.type != "meta"
        and value.dtype in _dtypes()
        and not (value.is_conj() or value.is_neg())
    )


def _dtypes() -> tuple[Any, ...]:
    torch = _torch()
    floats = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
    return (*floats, torch.complex64, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


def _is_parameter(value: Any) -> bool:
    torch = _torch()
    return type(value) is torch.nn.Parameter


def _storage_of(value: Any) -> int:
    return value.untyped_storage().data_ptr() or -id(value)  # what is empty lies nowhere
