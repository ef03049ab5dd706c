"""Hugging Face pipelines: weights and settings as `save_pretrained` writes them, in MLflow's layout.

Code that comes with a model is never run: a pipeline is made of classes that the installed library has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from .base import Loaded, Material, Written, class_at, inside, is_a

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "transformers"
_MODEL = "model"
_COMPONENTS = "components"
_PARTS = ("tokenizer", "feature_extractor", "image_processor")
_PROCESSOR = "processor"


def matches(model: Any) -> bool:
    """Whether the model is a pipeline."""
    return is_a(model, "transformers.pipelines.base.Pipeline")


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the pipeline's model, and its tokenizer and other parts."""
    kind = cast("type[Any]", type(model.model))
    if kind.__module__.partition(".")[0] != "transformers":
        raise ValueError(f"its {kind.__name__} is no class of transformers; save its model as a PyTorch module")
    model.model.save_pretrained(folder / _MODEL)
    parts = {name: part for name in (*_PARTS, _PROCESSOR) if (part := getattr(model, name, None))}
    for name, part in parts.items():
        part.save_pretrained(folder / _COMPONENTS / name)
    return Written(
        {
            "task": model.task,
            "instance_type": type(model).__name__,
            "torch_dtype": str(model.model.dtype),
            "pipeline_model_type": kind.__name__,
            "source_model_name": model.model.name_or_path,
            "model_binary": _MODEL,
            **{f"{name}_type": type(part).__name__ for name, part in parts.items()},
            "components": [name for name in parts if name != _PROCESSOR],
        },
        loader="mlflow.transformers",
    )


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a pipeline, from its folder alone."""
    if config.get("peft_adaptor"):
        raise ValueError("it is an adapter of peft; merge it into its model, and save that")
    if "model_binary" not in config:
        raise ValueError("its weights are not in its folder; save it with them")
    where = inside(folder, config["model_binary"])
    kind: Any = _class_of(config.get("pipeline_model_type"))
    parts = {_MODEL: kind.from_pretrained(str(where), local_files_only=True, **_precision(config))}
    for name in _parts_of(config):
        place = inside(folder, f"{_COMPONENTS}/{name}")
        parts[name] = cast("Any", _class_of(config.get(f"{name}_type"))).from_pretrained(
            str(place), local_files_only=True
        )
    pipeline = cast("Any", import_module("transformers")).pipeline(task=config.get("task"), **parts)
    return Loaded(pipeline, lambda data, params: pipeline(_as_input(data), **(params or {})))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The code that a folder asks for; nothing else of it runs, and loading does not run it."""
    root = folder.resolve()
    found: list[str] = []
    for path in sorted(root.glob(f"{_MODEL}/*config.json")) + sorted(root.glob(f"{_COMPONENTS}/*/*config.json")):
        if "auto_map" in _settings_in(path):
            found.append(f"the code that {path.relative_to(root).as_posix()} asks for")
    return tuple(found)


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library, and what runs its models."""
    return ("transformers", "torch", "numpy", "safetensors", "PIL")


def _class_of(name: Any) -> type:
    try:
        return class_at(f"transformers.{name}", package="transformers")
    except ValueError as error:
        raise ValueError(f"{error}, and code that comes with a model is not run") from error


def _parts_of(config: Mapping[str, Any]) -> list[str]:
    listed: Any = config.get("components") or ()
    names = [name for name in _PARTS if name in listed]
    return [*names, *([_PROCESSOR] if f"{_PROCESSOR}_type" in config else [])]


def _precision(config: Mapping[str, Any]) -> dict[str, Any]:
    torch: Any = import_module("torch")
    found = getattr(torch, str(config.get("torch_dtype") or "").removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        return {}
    version = cast("Any", import_module("transformers")).__version__
    return {"dtype" if int(version.partition(".")[0]) >= 5 else "torch_dtype": found}


def _settings_in(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"its file {path.name!r} is no JSON ({error})") from error
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _as_input(data: Any) -> Any:
    """Give what pipelines take: a text, a list of them, or named inputs for each row."""
    if hasattr(data, "columns"):
        return data.iloc[:, 0].tolist() if len(data.columns) == 1 else data.to_dict(orient="records")
    if hasattr(data, "tolist") and getattr(data, "dtype", None) is not None and data.dtype.kind in "OUS":
        return data.tolist()
    return data
