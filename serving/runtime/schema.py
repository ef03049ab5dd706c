"""The request and answer of `/predict` as pydantic models, made from the signature, so that OpenAPI shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from .errors import BadInput
from .protocol import Table, Tensors, check_media
from .signature import Column, Signature, Tensor

__all__ = ["PredictAnswer", "as_request", "read_typed", "request_model"]

_COLUMN_TYPES: dict[str, Any] = {
    "boolean": bool, "integer": int, "long": int, "float": float, "double": float,
    "string": str, "binary": str, "datetime": datetime,
}  # fmt: skip
_NULLABLE = ("float", "double", "string", "binary", "datetime")
_CELL_TYPES: dict[str, Any] = {"f": float, "i": int, "u": int, "b": bool, "U": str, "O": Any}


class PredictAnswer(BaseModel):
    """Predictions, in the order of the rows."""

    predictions: Any


def request_model(signature: Signature | None) -> type[BaseModel]:
    """Make the model of a `/predict` request: `rows` of named columns, or `inputs` as nested lists."""
    forbid = ConfigDict(extra="forbid")
    if signature is not None and signature.columns:
        fields: dict[str, Any] = {f"column_{n}": _field(column) for n, column in enumerate(signature.columns)}
        row: Any = create_model("Row", __config__=ConfigDict(extra="forbid", validate_by_alias=True), **fields)
        rows: Any = list.__class_getitem__(row)
        return create_model("PredictRequest", __config__=forbid, rows=(rows, ...))
    inputs: Any = Any if signature is None or signature.tensor is None else _nested(signature.tensor)
    return create_model("PredictRequest", __config__=forbid, inputs=(inputs, ...))


def as_request(signature: Signature | None, content: dict[str, Any]) -> Table | Tensors:
    """Turn a validated `/predict` request into what the scorer takes."""
    if "inputs" in content:
        return Tensors(content["inputs"])
    assert signature is not None
    names = tuple(column.name or "" for column in signature.columns)
    return Table(names, [[_cell(value) for value in row.model_dump().values()] for row in content["rows"]])


def read_typed(body: bytes, content_type: str | None, model: type[BaseModel]) -> dict[str, Any]:
    """Read the body of a `/predict` request; its fields by name.

    Raises:
        BadInput: It does not fit, and the first reason why.
    """
    check_media(content_type, "application/json")
    try:
        request = model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise BadInput(
            f"The request does not fit at {place}: {first['msg']}; /docs.json says what is expected."
        ) from error
    return {name: getattr(request, name) for name in model.model_fields}


def _field(column: Column) -> tuple[Any, Any]:
    kind = _COLUMN_TYPES[column.type]
    if column.type in _NULLABLE or not column.required:
        kind = kind | None
    return (kind, Field(... if column.required else None, alias=column.name or "value"))


def _nested(tensor: Tensor) -> Any:
    import numpy as np

    kind = _CELL_TYPES.get(np.dtype(tensor.dtype).kind, Any)
    for size in reversed(tensor.shape):
        sized: Any = list.__class_getitem__(kind)
        kind = sized if size == -1 else Annotated[sized, Field(min_length=size, max_length=size)]
    return kind


def _cell(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
