"""Single values, which carry no type of their own: lists, dicts, JSON and object columns are made of them."""

from __future__ import annotations

import base64
import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timezone
from typing import Any, cast

import numpy as np

from .kinds import ANY, RANGES, Array, Kind, Map, Object, describe

__all__ = ["BASE64", "HOLD_NULL", "NUMBER_LIMITS", "Read", "Unfit", "as_mapping", "is_missing", "reader"]

# From a value to one of the type, or `Unfit`.
Read = Callable[[Any], Any]
HOLD_NULL = ("float", "double", "string", "binary", "datetime", ANY)  # what is missing has a value of these types
NUMBER_LIMITS = {"float": float(np.finfo(np.float32).max), "double": float(np.finfo(np.float64).max)}
BASE64 = (
    "(?:[A-Za-z0-9+/]{4}\\n?)*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\\n?"  # with the line ends that MLflow writes
)
_BASE64 = re.compile(BASE64)


class Unfit(Exception):
    """A value is not of its type; `place` leads to it inside the cell, such as ".address.street[2]"."""

    def __init__(self, expected: str, found: Any, place: str = "") -> None:
        self.expected = expected
        self.found = found
        self.place = place
        super().__init__(expected)

    def within(self, step: str) -> Unfit:
        """Give the same, seen from one level up."""
        return Unfit(self.expected, self.found, step + self.place)


def reader(kind: Kind, *, wire: bool, optional: bool = False) -> Read:
    """Make the function that checks and converts values of a type.

    Args:
        kind: The type.
        wire: Whether values come from JSON, where bytes are text in base64.
        optional: Whether null may stand where the type has no value for it.
    """
    read = _container(kind, wire) if not isinstance(kind, str) else _plain(kind, wire)
    null = optional or kind in HOLD_NULL
    empty = float("nan") if kind in NUMBER_LIMITS else None

    def checked(value: Any) -> Any:
        if is_missing(value):
            if null:
                return empty
            raise Unfit(describe(kind), value)
        return read(value)

    return checked


def is_missing(value: Any) -> bool:
    """Whether a value says that there is none: None, NaN, and pandas' NaT and NA."""
    if value is None:
        return True
    if isinstance(value, (str, int, Mapping, list)):
        return False
    return (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in ("NaTType", "NAType")


def as_mapping(value: Any) -> Mapping[str, Any] | None:
    """Give a dict, pydantic model or dataclass as a mapping; None for anything else."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return cast("Mapping[str, Any]", value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return None


def _plain(kind: str, wire: bool) -> Read:
    if kind == ANY:
        return lambda value: value
    if kind in RANGES:
        return _whole(kind)
    if kind in NUMBER_LIMITS:
        return _number(kind)
    return {"boolean": _boolean, "string": _string, "datetime": _datetime, "binary": _base64 if wire else _bytes}[kind]


def _boolean(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise Unfit("boolean", value)
    return bool(cast("Any", value))


def _whole(kind: str) -> Read:
    low, high = RANGES[kind]

    def read(value: Any) -> int:
        if not _is_number(value):
            raise Unfit(kind, value)
        # 3.0 is a whole number: JSON does not tell it from 3.
        whole = int(value) if value == value // 1 else None
        if whole is None or not low <= whole <= high:
            raise Unfit(kind, value)
        return whole

    return read


def _number(kind: str) -> Read:
    limit = NUMBER_LIMITS[kind]

    def read(value: Any) -> float:
        if not _is_number(value):
            raise Unfit(kind, value)
        if abs(value) > limit and abs(value) != float("inf"):
            raise Unfit(kind, value)
        return float(value)

    return read


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit("string", value)
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray)):
        raise Unfit("binary", value)
    return bytes(value)


def _base64(value: Any) -> bytes:
    if not isinstance(value, str) or not _BASE64.fullmatch(value):
        raise Unfit("binary, as text in base64", value)
    return base64.b64decode(value)


def _datetime(value: Any) -> Any:
    if isinstance(value, np.datetime64):
        return cast("Any", value)
    if hasattr(value, "nanosecond") and value.tzinfo is None:  # a Timestamp of pandas, finer than a datetime
        return value.to_datetime64()
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise Unfit("datetime, as text in ISO 8601", value) from None
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(timezone.utc).replace(tzinfo=None)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    raise Unfit("datetime", value)


def _container(kind: Array | Map | Object, wire: bool) -> Read:
    if isinstance(kind, Array):
        return _array(reader(kind.items, wire=wire), describe(kind))
    if isinstance(kind, Map):
        return _map(reader(kind.values, wire=wire), describe(kind))
    return _object(kind, wire)


def _array(item: Read, expected: str) -> Read:
    def read(value: Any) -> list[Any]:
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, (list, tuple)):
            raise Unfit(expected, value)
        return [_inner(item, one, f"[{place}]") for place, one in enumerate(cast("list[Any]", value))]

    return read


def _map(item: Read, expected: str) -> Read:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in cast("Mapping[Any, Any]", value)):
            raise Unfit(expected, value)
        return {key: _inner(item, one, f".{key}") for key, one in cast("Mapping[str, Any]", value).items()}

    return read


def _object(kind: Object, wire: bool) -> Read:
    items = [
        (one.name, one.required, reader(one.type, wire=wire, optional=not one.required)) for one in kind.properties
    ]

    def read(value: Any) -> dict[str, Any]:
        given = as_mapping(value)
        if given is None:
            raise Unfit(describe(kind), value)
        missing = next((name for name, required, _ in items if required and name not in given), None)
        if missing is not None:
            raise Unfit(f"object with {missing!r}", dict(given))
        return {name: _inner(item, given[name], f".{name}") for name, _, item in items if name in given}

    return read


def _inner(read: Read, value: Any, step: str) -> Any:
    try:
        return read(value)
    except Unfit as error:
        raise error.within(step) from None
