"""Signatures from type hints: of a function, of pydantic models and of dataclasses."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from types import NoneType, UnionType
from typing import Any, cast

from ....errors import ModelError
from ...runtime.signature import Array, Column, Fields, Kind, Map, Object, Property, Signature
from ...runtime.signature.hints import data_hint
from ...runtime.signature.kinds import ANY

__all__ = ["columns_of_class", "fields_of_hint", "hinted_signature", "is_hint", "is_record_class", "signature_of_hints"]

_PLAIN: dict[Any, Kind] = {
    bool: "boolean", int: "long", float: "double", str: "string", bytes: "binary", datetime: "datetime",
    date: "datetime", Any: ANY,
}  # fmt: skip
_LISTS = (list, tuple, set, Sequence)
_DEEPEST = 32


def is_hint(data: Any) -> bool:
    """Whether something is a type, not data: `list[str]`, a class."""
    return isinstance(data, type) or typing.get_origin(data) is not None


def is_record_class(kind: Any) -> bool:
    """Whether a class is a pydantic model, a dataclass or a TypedDict."""
    if not isinstance(kind, type):
        return False
    return hasattr(kind, "model_fields") or dataclasses.is_dataclass(kind) or typing.is_typeddict(cast("Any", kind))


def signature_of_hints(model: Any) -> Signature | None:
    """Give what the type hints of a function, or of the `predict` of an object, say; None where they say nothing.

    Raises:
        ModelError: They name a type that a signature cannot say.
    """
    hint = data_hint(model)
    if typing.get_origin(hint) not in _LISTS and not is_record_class(hint):
        return None
    method = getattr(model, "predict", None)
    answer = typing.get_type_hints(method if callable(method) else model).get("return")
    return Signature(fields_of_hint(hint), _outputs(answer))


def hinted_signature(model: Any) -> Signature | None:
    """Give what type hints say, or None where they say nothing that a signature can."""
    try:
        return signature_of_hints(model)
    except ModelError:
        return None


def fields_of_hint(hint: Any) -> Fields:
    """Give the columns that a hint says: those of a class, or for a list of something a single one without a name.

    Raises:
        ModelError: It is a type that a signature cannot say.
    """
    if is_record_class(hint):
        return columns_of_class(hint)
    if typing.get_origin(hint) in _LISTS:
        return (Column(None, _kind((*typing.get_args(hint), Any)[0], 0)[0]),)
    kind, _ = _kind(hint, 0)
    return (Column(None, kind),)


def columns_of_class(kind: type) -> tuple[Column, ...]:
    """Give a column for each field of a pydantic model, dataclass or TypedDict.

    Raises:
        ModelError: A field has a type that a signature cannot say.
    """
    return tuple(Column(one.name, one.type, one.required) for one in _members(kind, 0))


def _outputs(hint: Any) -> Fields:
    try:
        return () if hint is None else fields_of_hint(hint)
    except ModelError:
        return ()  # arrays and tables say nothing of what they hold, and nobody has to


def _members(kind: type, depth: int) -> Iterator[Property]:
    hints = typing.get_type_hints(kind)
    fields: Mapping[str, Any] = cast("Any", kind).model_fields if hasattr(kind, "model_fields") else hints
    needed = _needed(kind, fields)
    for name in fields:
        try:
            found, optional = _kind(hints[name], depth + 1)
        except ModelError as error:
            raise ModelError(f"Field {name!r} of {kind.__name__}: {error}") from None
        yield Property(name, found, not optional and name in needed)


def _needed(kind: Any, fields: Mapping[str, Any]) -> Collection[str]:
    """Give the names of the fields that have no default."""
    if hasattr(kind, "model_fields"):
        return {name for name, field in fields.items() if field.is_required()}
    if dataclasses.is_dataclass(kind):
        none = dataclasses.MISSING
        return {one.name for one in dataclasses.fields(kind) if one.default is none and one.default_factory is none}
    return getattr(kind, "__required_keys__", fields)


def _kind(hint: Any, depth: int) -> tuple[Kind, bool]:  # noqa: PLR0911 - one per kind
    """Give the type that a hint says, and whether it may be None."""
    if depth > _DEEPEST:
        raise ModelError("A type hint nests too deeply, perhaps within itself; use Any where it does.")
    if hint in _PLAIN:
        return _PLAIN[hint], False
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        return _union([one for one in arguments if one is not NoneType], depth, NoneType in arguments)
    if origin is typing.Annotated:
        return _kind(arguments[0], depth)
    if origin is typing.Literal:
        return _union(list({type(one) for one in arguments}), depth, optional=False)
    if origin in _LISTS:
        return Array(_kind(arguments[0], depth + 1)[0]), False
    if origin in (dict, Mapping) and arguments[0] is str:
        return Map(_kind(arguments[1], depth + 1)[0]), False
    if is_record_class(hint):
        return Object(tuple(_members(hint, depth))), False
    for base in (str, int):  # enumerations of them
        if inspect.isclass(hint) and issubclass(hint, base):
            return _PLAIN[base], False
    shown = hint.__name__ if isinstance(hint, type) else hint
    raise ModelError(f"The type hint {shown} says nothing that a signature can; give data instead, or list[...].")


def _union(kinds: Sequence[Any], depth: int, optional: bool) -> tuple[Kind, bool]:
    return (_kind(kinds[0], depth + 1)[0] if len(kinds) == 1 else ANY), optional
