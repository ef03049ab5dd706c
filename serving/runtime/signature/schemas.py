"""JSON Schema of what a signature says; the same that `cells` accepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .cells import BASE64, HOLD_NULL, NUMBER_LIMITS
from .fields import Column, Fields, Param, Tensor
from .kinds import RANGES, Array, Kind, Map

__all__ = ["fields_schema", "inputs_schema", "params_schema", "request_schema"]

_Schema = dict[str, Any]


def request_schema(inputs: Fields, params: Sequence[Param]) -> _Schema:
    """Give the schema of the body of a `/predict` request."""
    name, schema = inputs_schema(inputs)
    members = {name: schema, **({"params": params_schema(params)} if params else {})}
    return {"type": "object", "properties": members, "required": [name], "additionalProperties": False}


def inputs_schema(inputs: Fields) -> tuple[str, _Schema]:
    """Give the member of a request that holds the inputs, and its schema."""
    first = inputs[0] if inputs else None
    if isinstance(first, Column) and first.name is not None:
        return "rows", fields_schema(inputs)
    return "inputs", fields_schema(inputs)


def fields_schema(fields: Fields) -> _Schema:
    """Give the schema of several rows, or of the tensors."""
    columns = [field for field in fields if isinstance(field, Column)]
    tensors = [field for field in fields if isinstance(field, Tensor)]
    if columns:
        return {"type": "array", "items": _row(columns)}
    if not tensors:
        return {}
    if len(tensors) == 1 and tensors[0].name is None:
        return _tensor(tensors[0])
    members = {str(one.name): _tensor(one) for one in tensors}
    return {"type": "object", "properties": members, "required": list(members)}


def params_schema(params: Sequence[Param]) -> _Schema:
    """Give the schema of the parameters."""
    members = {one.name: {**_param(one), "default": one.default} for one in params}
    return {"type": "object", "properties": members, "additionalProperties": False}


def _row(columns: Sequence[Column]) -> _Schema:
    kinds = [_kind(column.type, null=not column.required) for column in columns]
    if columns[0].name is not None:
        required = [column.name for column in columns if column.required]
        members = {str(column.name): kind for column, kind in zip(columns, kinds, strict=True)}
        return {"type": "object", "properties": members, **({"required": required} if required else {})}
    if len(columns) == 1:
        return kinds[0]
    return {"type": "array", "prefixItems": kinds, "minItems": len(kinds), "maxItems": len(kinds)}


def _param(param: Param) -> _Schema:
    return _kind(param.type if param.shape is None else Array(param.type), null=True)


def _kind(kind: Kind, *, null: bool = False) -> _Schema:
    schema = _plain(kind) if isinstance(kind, str) else _container(kind)
    if "type" in schema and (null or kind in HOLD_NULL):
        return {**schema, "type": [schema["type"], "null"]}
    return schema


def _plain(kind: str) -> _Schema:
    if kind in RANGES:
        low, high = RANGES[kind]
        return {"type": "integer", "minimum": low, "maximum": high}
    if kind in NUMBER_LIMITS:
        return {"type": "number", "minimum": -NUMBER_LIMITS[kind], "maximum": NUMBER_LIMITS[kind]}
    return {
        "boolean": {"type": "boolean"},
        "string": {"type": "string"},
        "datetime": {"type": "string", "format": "date-time"},
        "binary": {"type": "string", "contentEncoding": "base64", "pattern": f"^{BASE64}$"},
    }.get(kind, {})


def _container(kind: Kind) -> _Schema:
    if isinstance(kind, Array):
        return {"type": "array", "items": _kind(kind.items)}
    if isinstance(kind, Map):
        return {"type": "object", "additionalProperties": _kind(kind.values)}
    assert not isinstance(kind, str)
    members = {one.name: _kind(one.type, null=not one.required) for one in kind.properties}
    required = [one.name for one in kind.properties if one.required]
    return {"type": "object", "properties": members, **({"required": required} if required else {})}


def _tensor(tensor: Tensor) -> _Schema:
    schema = _element(np.dtype(tensor.dtype))
    for size in reversed(tensor.shape):
        bounds = {} if size == -1 else {"minItems": size, "maxItems": size}
        schema = {"type": "array", "items": schema, **bounds}
    return schema


def _element(dtype: np.dtype[Any]) -> _Schema:
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}
    if dtype.kind == "f":
        limit = min(float(np.finfo(dtype).max), NUMBER_LIMITS["double"])
        return {"type": "number", "minimum": -limit, "maximum": limit}
    return {"b": {"type": "boolean"}, "U": {"type": "string"}, "M": {"type": "string", "format": "date-time"}}.get(
        dtype.kind, {}
    )
