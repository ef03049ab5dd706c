"""Flavors: how models of one library become files, and models again; one module each, behind `base.Flavor`.

Others bring theirs with an entry point of the group `prefect_ml.flavors`, whose value is such a module or object.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, cast

from .base import Flavor, Loaded, Material, Written

__all__ = [
    "Flavor",
    "Loaded",
    "Material",
    "Written",
    "flavor_in",
    "flavor_named",
    "flavor_names",
    "flavors",
    "settings_of",
]

_GROUP = "prefect_ml.flavors"
# Libraries that follow scikit-learn's interface come before it, and what takes anything comes last.
_OURS = (
    "xgboost", "lightgbm", "catboost", "statsmodels", "prophet",
    "keras", "tensorflow", "pytorch", "onnx", "transformers", "spark",
    "sklearn",
)  # fmt: skip
_LAST = "python_function"
_MODULES = {_LAST: "function"}  # where a flavor's module is not called like the flavor


def flavor_names() -> tuple[str, ...]:
    """Give the names of all flavors, in the order in which they are asked; those of others come before ours."""
    return (*sorted(_others()), *_OURS, _LAST)


def flavors() -> Iterator[Flavor]:
    """Give all flavors in that order."""
    return (flavor for name in flavor_names() if (flavor := flavor_named(name)))


def flavor_named(name: str) -> Flavor | None:
    """Give the flavor of this name, or None."""
    if name in _OURS or name == _LAST:
        return cast("Flavor", importlib.import_module(f".{_MODULES.get(name, name)}", __name__))
    return _others().get(name)


def flavor_in(listed: Mapping[str, Any]) -> Flavor:
    """Choose the flavor that loads a model, of those that its `MLmodel` file lists.

    Raises:
        ValueError: None of them is known here.
    """
    others = [name for name in listed if name not in (*_OURS, _LAST)]
    for name in (*others, *_OURS, _LAST):
        if name in listed and (flavor := flavor_named(name)):
            return flavor
    raise ValueError(f"its flavors ({', '.join(map(str, listed)) or 'none'}) are not known here")


def settings_of(flavor: Flavor, listed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Give what `MLmodel` says for a flavor; where its own entry is silent, that of `python_function` speaks."""
    return {**listed.get(_LAST, {}), **listed[flavor.NAME]}


@functools.cache
def _others() -> dict[str, Flavor]:
    return {entry.name: cast("Flavor", entry.load()) for entry in entry_points(group=_GROUP)}
