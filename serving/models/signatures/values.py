"""The types of plain Python values, found by looking at each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, cast

import numpy as np

from ....errors import ModelError
from ...runtime.signature import Array, Column, Kind, Map, Object, Property
from ...runtime.signature.cells import HOLD_NULL, as_mapping, is_missing
from ...runtime.signature.kinds import ANY, RANGES, describe

__all__ = ["as_column", "kind_of_dtype", "kind_of_each"]

_WIDER: dict[frozenset[str], Kind] = {
    frozenset(("integer", "long")): "long", frozenset(("float", "double")): "double",
    frozenset(("integer", "double")): "double", frozenset(("long", "double")): "double",
    frozenset(("integer", "float")): "double", frozenset(("long", "float")): "double",
}  # fmt: skip


class _Unlike(Exception):
    """Values of types that have no common one."""


def as_column(name: str | None, kind: Kind, *, missing: bool) -> Column:
    """Make a column; one whose type has no value for what is missing becomes optional, integers become double."""
    kind = _with_nulls(kind) if missing else kind
    return Column(name, kind, name is None or not missing or kind in HOLD_NULL)


def kind_of_each(values: Iterable[Any], what: str) -> tuple[Kind, bool]:
    """Give the type that all the values have, and whether some are missing.

    Raises:
        ModelError: They have none in common, or one that a signature cannot say; the sentence names `what`.
    """
    kind: Kind | None = None
    nan = missing = False
    for value in values:
        if is_missing(value):
            missing, nan = True, nan or isinstance(value, float)
            continue
        try:
            found = _kind(value)
            kind = found if kind is None else _merged(kind, found)
        except _Unlike as error:
            raise ModelError(f"{what} holds {error}; give all values one type that JSON or Arrow has.") from None
    return ("double" if nan else ANY) if kind is None else kind, missing


def kind_of_dtype(dtype: Any) -> str | None:
    """Give the type of a numpy dtype, or of one that says `kind` and `itemsize` like it; None where there is none."""
    letter, size = dtype.kind, dtype.itemsize
    if letter in "iu":
        return "integer" if size < 4 or (size == 4 and letter == "i") else "long"
    if letter == "f":
        return "float" if size <= 4 else "double" if size == 8 else None
    return {"b": "boolean", "M": "datetime", "U": "string", "S": "binary"}.get(letter)


def _kind(value: Any) -> Kind:
    if isinstance(value, np.generic):
        return _scalar_of(cast("Any", value).dtype)
    row = as_mapping(value)
    if row is not None:
        return _object(row)
    if isinstance(value, (list, tuple, np.ndarray)):
        return Array(_items(list(cast("Any", value))))
    return _scalar(value)


def _scalar_of(dtype: Any) -> Kind:
    kind = kind_of_dtype(dtype)
    if kind is None:
        raise _Unlike(f"a {dtype}")
    return kind


def _scalar(value: Any) -> Kind:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        low, high = RANGES["long"]
        if not low <= value <= high:
            raise _Unlike("an integer of over 64 bits")
        return "long"
    for type_, kind in ((float, "double"), (str, "string"), ((bytes, bytearray), "binary"), (date, "datetime")):
        if isinstance(value, type_):
            return kind
    raise _Unlike(f"a {type(value).__name__}, which a signature cannot say")


def _items(values: Sequence[Any]) -> Kind:
    kind: Kind = ANY
    for value in values:
        if not is_missing(value):
            kind = _merged(kind, _kind(value))
        elif isinstance(value, float):
            kind = _merged(kind, "double")
    return _with_nulls(kind, nested=True) if any(is_missing(value) for value in values) else kind


def _object(row: Mapping[str, Any]) -> Kind:
    if not row:
        return Map(ANY)
    if not all(isinstance(name, str) for name in cast("Mapping[Any, Any]", row)):
        raise _Unlike("a dict whose keys are not all text")
    return Object(
        tuple(
            Property(name, ANY if is_missing(value) else _kind(value), not is_missing(value))
            for name, value in row.items()
        )
    )


def _with_nulls(kind: Kind, *, nested: bool = False) -> Kind:
    if kind in ("integer", "long"):
        return "double"
    return ANY if nested and kind not in HOLD_NULL else kind


def _merged(one: Kind, other: Kind) -> Kind:
    if other in (one, ANY):
        return one
    if one == ANY:
        return other
    if isinstance(one, str) and isinstance(other, str) and frozenset((one, other)) in _WIDER:
        return _WIDER[frozenset((one, other))]
    if isinstance(one, Array) and isinstance(other, Array):
        return Array(_merged(one.items, other.items))
    if isinstance(one, Object) and isinstance(other, Object):
        return _merged_objects(one, other)
    if Map(ANY) in (one, other) and isinstance(one, (Object, Map)) and isinstance(other, (Object, Map)):
        return _merged_objects(*(side if isinstance(side, Object) else Object(()) for side in (one, other)))
    raise _Unlike(f"{describe(one)} beside {describe(other)}")


def _merged_objects(one: Object, other: Object) -> Object:
    left, right = ({member.name: member for member in side.properties} for side in (one, other))
    return Object(
        tuple(
            Property(name, _merged(left[name].type, right[name].type), left[name].required and right[name].required)
            if name in left and name in right
            else Property(name, (left.get(name) or right[name]).type, required=False)
            for name in left | right
        )
    )
