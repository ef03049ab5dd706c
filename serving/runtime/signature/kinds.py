"""The types of values that a signature can say: words for plain values, small records for what holds others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["ANY", "PLAIN", "RANGES", "Array", "Kind", "Map", "Object", "Property", "describe", "spec_of"]

PLAIN = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
ANY = "any"
RANGES = {"integer": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}


@dataclass(frozen=True)
class Array:
    """A list of any length, whose items are of one type."""

    items: Kind


@dataclass(frozen=True)
class Map:
    """A dict from text to values of one type."""

    values: Kind


@dataclass(frozen=True)
class Property:
    """A named value in an object; one that is not required may be absent, or null."""

    name: str
    type: Kind
    required: bool = True


@dataclass(frozen=True)
class Object:
    """A dict with known names, which are kept in the order of the alphabet."""

    properties: tuple[Property, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "properties", tuple(sorted(self.properties, key=lambda one: one.name)))


Kind = str | Array | Map | Object


def spec_of(kind: Kind) -> dict[str, Any]:
    """Give the JSON form, as MLflow writes it."""
    if isinstance(kind, str):
        return {"type": kind}
    if isinstance(kind, Array):
        return {"type": "array", "items": spec_of(kind.items)}
    if isinstance(kind, Map):
        return {"type": "map", "values": spec_of(kind.values)}
    members = {one.name: {**spec_of(one.type), "required": one.required} for one in kind.properties}
    return {"type": "object", "properties": members}


def describe(kind: Kind) -> str:
    """Name a type in a sentence: "array of long"."""
    if isinstance(kind, str):
        return kind
    if isinstance(kind, Array):
        return f"array of {describe(kind.items)}"
    if isinstance(kind, Map):
        return f"map to {describe(kind.values)}"
    return f"object with {', '.join(one.name for one in kind.properties)}"
