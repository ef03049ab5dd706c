"""What every flavor is, and what flavors share.

Modules here import only the standard library and numpy, and the library of their models inside functions: they are
copied into Bentos, and beside models for tools that know nothing of prefect-ml.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Flavor", "Loaded", "Material", "Predict", "Written", "class_at", "inside", "is_a", "name_of_class"]

# From input data, and the inference parameters or None, to predictions.
Predict = Callable[[Any, Mapping[str, Any] | None], Any]


@dataclass(frozen=True)
class Loaded:
    """A model in memory: the library's own object, and how it predicts."""

    native: Any
    predict: Predict


@dataclass(frozen=True)
class Material:
    """What a model is saved with, beside itself.

    Attributes:
        example: A few rows of input, or None.
        artifacts: Local files and folders that it needs, by name.
    """

    example: Any = None
    artifacts: Mapping[str, Path] = field(default_factory=dict[str, Path])


@dataclass(frozen=True)
class Written:
    """What a flavor has written to a model folder.

    Attributes:
        config: Its entry among the `flavors` of `MLmodel`, in MLflow's words where MLflow has this flavor.
        loader: The module of MLflow that loads these files; None where there is none, and ours travels with the model.
        python_function: What MLflow's loader looks for in the entry `python_function`, such as `data`.
        loaded: The model as it was read back from its files, where saving it has done so.
    """

    config: dict[str, Any]
    loader: str | None = None
    python_function: Mapping[str, Any] = field(default_factory=dict[str, Any])
    loaded: Loaded | None = None


class Flavor(Protocol):
    """How models of one kind are saved and loaded. Flavors are modules; third parties bring theirs by entry point.

    `save` is called once per folder; `load`, `executes` and `packages` read what it, or MLflow, wrote. They raise
    `ValueError`, with half a sentence such as "its file 'x' is missing", where the folder is not what they can read.
    """

    @property
    def NAME(self) -> str:  # noqa: N802 - flavors are modules, and this is a constant of theirs
        """Name under which `MLmodel` lists it."""
        ...

    def matches(self, model: Any) -> bool:
        """Whether this flavor can save the model; imports nothing: what is not imported yet has made no model."""
        ...

    def save(self, model: Any, folder: Path, material: Material) -> Written:
        """Write the model's files to an existing folder."""
        ...

    def load(self, folder: Path, config: Mapping[str, Any]) -> Loaded:
        """Make the model from its files."""
        ...

    def executes(self, folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Name what of the folder would run as code on load, such as "the pickle model.pkl"; nothing is loaded."""
        ...

    def packages(self, folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Give the top-level modules that loading and predicting import; what pickles name is found without."""
        ...


def inside(folder: Path, name: Any) -> Path:
    """Give the path of a model's file; a descriptor is anybody's text, so a name may not lead out of the folder.

    Raises:
        ValueError: It does, or there is no such file.
    """
    if not isinstance(name, str):
        raise ValueError(f"its MLmodel file names {name!r} where the name of a file should stand")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"its file {name!r} lies outside its folder")
    if not path.exists():
        raise ValueError(f"its file {name!r} is missing")
    return path


def name_of_class(kind: type[Any]) -> str:
    """Give the full name of a class, as `class_at` takes it."""
    return f"{kind.__module__}.{kind.__qualname__}"


def is_a(model: Any, *names: str) -> bool:
    """Whether the model is of a class with one of these full names, or of one derived from it; imports nothing."""
    return any(name_of_class(kind) in names for kind in type(model).__mro__)


def class_at(name: Any, *, package: str, base: str | None = None) -> type:
    """Give the class of a library that a descriptor names.

    Args:
        name: Its full name.
        package: The top-level module that has to hold it, so that no descriptor reaches other code.
        base: Full name of a class that it has to be derived from, or None.

    Raises:
        ValueError: It is none of these.
    """
    text = str(name)
    module, _, attribute = text.rpartition(".")
    if module.partition(".")[0] != package or not all(part.isidentifier() for part in text.split(".")):
        raise ValueError(f"its class {text!r} is not one of {package}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"its class {text!r} is not in the installed {package}") from error
    if not inspect.isclass(found) or (base and not issubclass(found, class_at(base, package=package))):
        raise ValueError(f"its class {text!r} is no {base or 'class'}")
    return found
