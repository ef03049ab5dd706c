"""The two paths that score a model, as OpenAPI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .fields import Column, Fields, Param
from .schemas import fields_schema, inputs_schema, params_schema, request_schema

__all__ = ["document"]

_Schema = dict[str, Any]


def document(title: str, inputs: Fields, outputs: Fields, params: Sequence[Param]) -> _Schema:
    """Give an OpenAPI 3.1 document, whose schemas are JSON Schema of draft 2020-12."""
    answer = {"type": "object", "properties": {"predictions": _predictions(outputs)}, "required": ["predictions"]}
    invocations = {"application/json": {"schema": _invocations(inputs, params)}}
    if _is_flat(inputs):
        invocations["text/csv"] = {"schema": {"type": "string"}}
    predict = {"application/json": {"schema": request_schema(inputs, params)}}
    paths = {
        "/predict": _path("predict", "Score inputs", predict, answer),
        "/invocations": _path("invocations", "Score inputs in the MLflow 2 scoring protocol", invocations, answer),
    }
    return {"openapi": "3.1.0", "info": {"title": title, "version": "1"}, "paths": paths}


def _path(name: str, summary: str, content: _Schema, answer: _Schema) -> _Schema:
    refused = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    responses = {
        "200": {"description": "Predictions", "content": {"application/json": {"schema": answer}}},
        "400": {"description": "What does not fit", "content": {"application/json": {"schema": refused}}},
    }
    body = {"required": True, "content": content}
    return {"post": {"operationId": name, "summary": summary, "requestBody": body, "responses": responses}}


def _invocations(inputs: Fields, params: Sequence[Param]) -> _Schema:
    name, schema = inputs_schema(inputs)
    if name == "rows":
        forms: dict[str, _Schema] = {"dataframe_split": _split(), "dataframe_records": schema, "inputs": {}}
    else:
        forms = {"inputs": schema, "instances": {"type": "array"}}
    extra = {"params": params_schema(params)} if params else {}
    return {"oneOf": [_form(name, {name: form, **extra}) for name, form in forms.items()]}


def _form(name: str, members: _Schema) -> _Schema:
    return {"type": "object", "properties": members, "required": [name], "additionalProperties": False}


def _split() -> _Schema:
    columns = {"type": "array", "items": {"type": "string"}}
    members = {"columns": columns, "data": {"type": "array", "items": {"type": "array"}}, "index": {"type": "array"}}
    return {"type": "object", "properties": members, "required": ["data"]}


def _predictions(outputs: Fields) -> _Schema:
    # Answers write NaN and the infinities as text, so what a number may be is not said of them.
    first = outputs[0] if len(outputs) == 1 else None
    return {"type": "array"} if isinstance(first, Column) else fields_schema(()) if outputs else {}


def _is_flat(inputs: Fields) -> bool:
    return all(isinstance(field, Column) and isinstance(field.type, str) for field in inputs)
