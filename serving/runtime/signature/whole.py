"""A model's signature as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .fields import Column, Fields, Param, Tensor
from .openapi import document
from .reading import fields_from, params_from
from .schemas import request_schema

__all__ = ["Signature"]


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives: inputs and outputs, each columns or tensors, empty where that is not known.

    Attributes:
        params: Inference parameters, with what they are where the caller says nothing.
    """

    inputs: Fields = ()
    outputs: Fields = ()
    params: tuple[Param, ...] = ()

    def __str__(self) -> str:
        sides = {"inputs": self.inputs, "outputs": self.outputs, "params": self.params}
        return "\n".join(f"{name}: {', '.join(map(str, side))}" for name, side in sides.items() if side)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The input columns; empty where the input is tensors or unknown."""
        return tuple(field for field in self.inputs if isinstance(field, Column))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The input tensors; empty where the input has columns or is unknown."""
        return tuple(field for field in self.inputs if isinstance(field, Tensor))

    @property
    def tensor(self) -> Tensor | None:
        """The one input tensor that has no name; None where the input is anything else."""
        first = self.inputs[0] if len(self.inputs) == 1 else None
        return first if isinstance(first, Tensor) and first.name is None else None

    def as_mlmodel(self) -> dict[str, str | None]:
        """Give the form that stands in an `MLmodel` file: JSON text for each side."""
        return {"inputs": _dump(self.inputs), "outputs": _dump(self.outputs), "params": _dump(self.params)}

    @classmethod
    def from_mlmodel(cls, entry: Mapping[str, Any] | None) -> Signature | None:
        """Read the `signature` entry of an `MLmodel` file; None where there is none.

        Raises:
            ValueError: The entry is not a signature.
        """
        if not entry:
            return None
        try:
            if not isinstance(cast("Any", entry), Mapping):
                raise ValueError("it is no mapping")
            inputs, outputs = fields_from(entry.get("inputs")), fields_from(entry.get("outputs"))
            return cls(inputs, outputs, params_from(entry.get("params")))
        except ValueError as error:
            raise ValueError(f"the signature in MLmodel cannot be read ({error})") from error

    def json_schema(self) -> dict[str, Any]:
        """Give the JSON Schema (draft 2020-12) of a request to `/predict`: its inputs, and its parameters."""
        schema = request_schema(self.inputs, self.params)
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

    def openapi(self, title: str = "model") -> dict[str, Any]:
        """Give an OpenAPI 3.1 document of the two paths that score: `/predict` and `/invocations`."""
        return document(title, self.inputs, self.outputs, self.params)


def _dump(fields: Sequence[Column | Tensor | Param]) -> str | None:
    return json.dumps([field.as_spec() for field in fields]) if fields else None
