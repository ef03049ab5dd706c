"""Reading signatures from their JSON form, which is anybody's text: what is wrong raises `ValueError`, nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

import numpy as np

from .fields import Column, Fields, Param, Tensor
from .kinds import ANY, PLAIN, Array, Kind, Map, Object, Property

__all__ = ["fields_from", "params_from"]

_Read = TypeVar("_Read")
_DEEPEST = 32
_MOST_DIMENSIONS = 64
_DTYPES = "biufcmMSUO"
_DTYPE = re.compile(r"[<>|=]?[A-Za-z_]{1,12}[0-9]{0,4}(?:\[[a-zA-Z]{1,3}\])?")


def fields_from(text: Any) -> Fields:
    """Read the columns or tensors of one side; none where the text is None or empty.

    Raises:
        ValueError: It is not that, with half a sentence.
    """
    specs = _specs(text)
    if specs and specs[0].get("type") == "tensor":
        return _all_named(_each(specs, _tensor), alone=True)
    return _all_named(_each(specs, _column), alone=False)


def params_from(text: Any) -> tuple[Param, ...]:
    """Read the inference parameters.

    Raises:
        ValueError: It is not that, with half a sentence.
    """
    params = _each(_specs(text), _param)
    _no_twins(one.name for one in params)
    return params


def _specs(text: Any) -> list[dict[str, Any]]:
    if text is None or text == "":
        return []
    if not isinstance(text, str):
        raise ValueError("a side of it is not text")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("a side of it is not JSON, or nests too deeply") from error
    if not isinstance(found, list) or not all(isinstance(spec, dict) for spec in cast("list[Any]", found)):
        raise ValueError("a side of it is not a list of objects")
    return cast("list[dict[str, Any]]", found)


def _each(specs: list[dict[str, Any]], read: Callable[[dict[str, Any]], _Read]) -> tuple[_Read, ...]:
    return tuple(read(spec) for spec in specs)


def _all_named(fields: Any, *, alone: bool) -> Fields:
    names = {field.name is None for field in fields}
    if len(names) > 1 or (alone and names == {True} and len(fields) > 1):
        raise ValueError("some of its fields have no name")
    if names == {False}:
        _no_twins(field.name for field in fields)
    return fields


def _no_twins(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"it names {_shown(name)} twice")
        seen.add(name)


def _column(spec: dict[str, Any]) -> Column:
    if spec.get("type") == "tensor":
        raise ValueError("it mixes columns and tensors")
    return Column(_name(spec), _kind(spec), _required(spec))


def _tensor(spec: dict[str, Any]) -> Tensor:
    info = spec.get("tensor-spec")
    if spec.get("type") != "tensor" or not isinstance(info, dict):
        raise ValueError("it mixes columns and tensors, or a tensor has no 'tensor-spec'")
    info = cast("dict[str, Any]", info)
    return Tensor(_dtype(info.get("dtype")), _shape(info.get("shape")), _name(spec))


def _param(spec: dict[str, Any]) -> Param:
    name = _name(spec)
    if name is None or "default" not in spec:
        raise ValueError("a parameter has no name or no default")
    shape = None if spec.get("shape") is None else _shape(spec["shape"])
    if shape not in (None, (-1,)):
        raise ValueError(f"the shape of parameter {_shown(name)} is neither null nor [-1]")
    # Early versions of MLflow wrote the type of a parameter as "dtype".
    kind = _kind(spec if "type" in spec else {**spec, "type": spec.get("dtype")})
    return Param(name, kind, spec["default"], shape)


def _name(spec: Mapping[str, Any]) -> str | None:
    name = spec.get("name")
    if name is None or isinstance(name, str):
        return name
    if isinstance(name, int):  # the label of a pandas column
        return str(name)
    raise ValueError("the name of a field is not text")


def _required(spec: Mapping[str, Any]) -> bool:
    # Before 2.9, MLflow wrote "optional": true.
    value = spec.get("required", not spec.get("optional", False))
    if value is not None and not isinstance(value, bool):
        raise ValueError("'required' is neither true nor false")
    return value is not False


def _kind(spec: Any, depth: int = 0) -> Kind:
    if depth > _DEEPEST:
        raise ValueError(f"a type nests over {_DEEPEST} deep")
    if not isinstance(spec, dict):
        raise ValueError("a type is not an object")
    found = cast("dict[str, Any]", spec)
    name = found.get("type")
    if isinstance(name, str) and (name in PLAIN or name == ANY):
        return name
    if name == "sparkml_vector":
        return Array("double")
    if name == "array":
        return Array(_kind(found.get("items"), depth + 1))
    if name == "map":
        return Map(_kind(found.get("values"), depth + 1))
    if name == "object":
        return Object(_properties(found.get("properties"), depth + 1))
    raise ValueError(f"the type {_shown(name)} is not known")


def _properties(given: Any, depth: int) -> tuple[Property, ...]:
    if not isinstance(given, dict) or not given:
        raise ValueError("an object has no properties")
    members = cast("dict[str, Any]", given)
    return tuple(Property(name, _kind(spec, depth), _required(spec)) for name, spec in members.items())


def _dtype(given: Any) -> str:
    if not isinstance(given, str) or not _DTYPE.fullmatch(given):
        raise ValueError(f"the dtype {_shown(given)} is not known")
    try:
        found = np.dtype(given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the dtype {_shown(given)} is not known") from error
    if found.kind not in _DTYPES or found.subdtype is not None:
        raise ValueError(f"the dtype {_shown(given)} is not known")
    return {"U": "str", "S": "bytes"}.get(found.kind, found.name)


def _shape(given: Any) -> tuple[int, ...]:
    sizes: list[Any] = cast("list[Any]", given) if isinstance(given, list) else [None]
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size >= -1 for size in sizes)
    if not whole or len(sizes) > _MOST_DIMENSIONS:
        raise ValueError(f"the shape {_shown(given)} is no list of sizes")
    return tuple(sizes)


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, int, float, type(None))) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
