"""The request and answer of `/predict` as pydantic models, made from the signature, so that OpenAPI shows them.

They read no further than the members of a request: what those hold is held against the signature, as everywhere.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, create_model

from .errors import BadInput
from .protocol import Named, Records, Request, Tensors, check_media
from .signature import Signature
from .signature.schemas import inputs_schema, params_schema

__all__ = ["PredictAnswer", "as_request", "read_typed", "request_model"]


class PredictAnswer(BaseModel):
    """Predictions, in the order of the rows."""

    predictions: Any


def request_model(signature: Signature | None) -> type[BaseModel]:
    """Make the model of a `/predict` request: `rows` of named columns, or `inputs`; and `params`, where there are."""
    known = signature or Signature()
    name, schema = inputs_schema(known.inputs)
    held: Any = {"array": list[Any], "object": dict[str, Any]}.get(str(schema.get("type")), Any)
    kind: Any = list[dict[str, Any]] if name == "rows" else held
    fields: dict[str, Any] = {name: (Annotated[kind, WithJsonSchema(schema)], ...)}
    if known.params:
        params = Annotated[dict[str, Any], WithJsonSchema(params_schema(known.params))]
        fields["params"] = (params, Field(default_factory=dict))
    return create_model("PredictRequest", __config__=ConfigDict(extra="forbid"), **fields)


def as_request(content: dict[str, Any]) -> Request:
    """Turn a validated `/predict` request into what the scorer takes."""
    params: dict[str, Any] = content.get("params") or {}
    if "rows" in content:
        return Request(Records(content["rows"]), params)
    inputs = content["inputs"]
    return Request(Named(inputs) if isinstance(inputs, dict) else Tensors(inputs), params)  # pyright: ignore[reportUnknownArgumentType]


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
