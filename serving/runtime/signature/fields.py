"""What stands in a signature: columns or tensors, and inference parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .kinds import Kind, describe, spec_of

__all__ = ["Column", "Fields", "Param", "Tensor"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Its name; None where the columns of the table have none and are known by their order.
        type: A word, such as "long", or an `Array`, `Object` or `Map` of them.
        required: Whether it has to be there; one that has not may also hold nulls.
    """

    name: str | None
    type: Kind
    required: bool = True

    def __str__(self) -> str:
        shown = describe(self.type) if self.name is None else f"{self.name}: {describe(self.type)}"
        return shown if self.required else f"{shown} (optional)"

    def as_spec(self) -> dict[str, Any]:
        """Give the JSON form."""
        named = {} if self.name is None else {"name": self.name}
        return {**spec_of(self.type), **named, "required": self.required}


@dataclass(frozen=True)
class Tensor:
    """An array; -1 in `shape` is a size that may vary."""

    dtype: str
    shape: tuple[int, ...]
    name: str | None = None

    def __str__(self) -> str:
        shown = f"{self.dtype} {self.shape}"
        return shown if self.name is None else f"{self.name}: {shown}"

    def as_spec(self) -> dict[str, Any]:
        """Give the JSON form."""
        named = {} if self.name is None else {"name": self.name}
        return {**named, "type": "tensor", "tensor-spec": {"dtype": self.dtype, "shape": list(self.shape)}}


@dataclass(frozen=True)
class Param:
    """An inference parameter.

    Attributes:
        default: Its value where the caller gives none; a datetime stands as ISO 8601 text.
        shape: None for one value, (-1,) for a list of them.
    """

    name: str
    type: Kind
    default: Any
    shape: tuple[int, ...] | None = None

    def __str__(self) -> str:
        shown = describe(self.type) if self.shape is None else f"array of {describe(self.type)}"
        return f"{self.name}: {shown} = {self.default!r}"

    def as_spec(self) -> dict[str, Any]:
        """Give the JSON form."""
        shape = None if self.shape is None else list(self.shape)
        return {"name": self.name, "default": self.default, "shape": shape, **spec_of(self.type)}


Fields = tuple[Column, ...] | tuple[Tensor, ...]
