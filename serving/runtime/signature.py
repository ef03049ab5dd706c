"""The signature of a model: what goes in and what comes out, in the JSON form that `MLmodel` files carry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["COLUMN_TYPES", "Column", "Signature", "Tensor"]

COLUMN_TYPES = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")


@dataclass(frozen=True)
class Column:
    """One column of a table; `name` is None where the table has a single unnamed column."""

    name: str | None
    type: str
    required: bool = True

    def as_spec(self) -> dict[str, Any]:
        """Give the JSON form."""
        named = {} if self.name is None else {"name": self.name}
        return {"type": self.type, **named, "required": self.required}


@dataclass(frozen=True)
class Tensor:
    """An array; -1 in `shape` is a size that may vary."""

    dtype: str
    shape: tuple[int, ...]
    name: str | None = None

    def as_spec(self) -> dict[str, Any]:
        """Give the JSON form."""
        named = {} if self.name is None else {"name": self.name}
        return {"type": "tensor", **named, "tensor-spec": {"dtype": self.dtype, "shape": list(self.shape)}}


Fields = tuple[Column, ...] | tuple[Tensor, ...]


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs, each a tuple of columns or of tensors; empty where it is not known."""

    inputs: Fields = ()
    outputs: Fields = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The input columns; empty where the input is a tensor or unknown."""
        return tuple(field for field in self.inputs if isinstance(field, Column))

    @property
    def tensor(self) -> Tensor | None:
        """The input tensor; None where the input has columns or is unknown."""
        first = self.inputs[0] if len(self.inputs) == 1 else None
        return first if isinstance(first, Tensor) else None

    def as_mlmodel(self) -> dict[str, str | None]:
        """Give the form that stands in an `MLmodel` file: JSON text for each side."""
        return {"inputs": _dump(self.inputs), "outputs": _dump(self.outputs), "params": None}

    @classmethod
    def from_mlmodel(cls, entry: Mapping[str, Any] | None) -> Signature | None:
        """Read the `signature` entry of an `MLmodel` file; None where there is none.

        Raises:
            ValueError: The entry is not a signature.
        """
        if not entry:
            return None
        try:
            return cls(_parse(entry.get("inputs")), _parse(entry.get("outputs")))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"the signature in MLmodel cannot be read ({error})") from error


def _dump(fields: Fields) -> str | None:
    return json.dumps([field.as_spec() for field in fields]) if fields else None


def _parse(text: str | None) -> Fields:
    specs: Sequence[dict[str, Any]] = json.loads(text) if text else []
    if specs and specs[0]["type"] == "tensor":
        return tuple(
            Tensor(spec["tensor-spec"]["dtype"], tuple(spec["tensor-spec"]["shape"]), spec.get("name"))
            for spec in specs
        )
    return tuple(_column(spec) for spec in specs)


def _column(spec: dict[str, Any]) -> Column:
    if spec["type"] not in COLUMN_TYPES:
        raise ValueError(f"column type {spec['type']!r} is not known")
    return Column(spec.get("name"), spec["type"], bool(spec.get("required", True)))
