"""Inference parameters, held against the signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..errors import BadInput, Mismatch
from .cells import Read, Unfit, reader
from .fields import Param
from .kinds import Array, describe
from .sentences import shown

__all__ = ["ParamsPlan"]


class ParamsPlan:
    """Checks the parameters of each call; those that it does not name have their defaults."""

    def __init__(self, params: Sequence[Param]) -> None:
        self._read: dict[str, Read] = {one.name: _reader(one) for one in params}
        self._expected = {one.name: _expected(one) for one in params}
        self._defaults = {one.name: _default(one, self._read[one.name]) for one in params}

    def fill(self, given: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Give all parameters; None where the signature has none.

        Raises:
            BadInput: One is unknown, or of another type.
        """
        if not given:
            return {**self._defaults} or None
        unknown = next((name for name in given if name not in self._read), None)
        if unknown is not None:
            raise BadInput(self._unknown(unknown))
        return {**self._defaults, **{name: self._checked(name, value) for name, value in given.items()}}

    def _unknown(self, name: str) -> str:
        if not self._read:
            return f"This model takes no params, but {name!r} was given; leave it out, or name it in the signature."
        return f"There is no param {name!r}; this model takes {', '.join(map(repr, self._read))}."

    def _checked(self, name: str, value: Any) -> Any:
        try:
            return self._read[name](value)
        except Unfit as error:
            expected, found = self._expected[name], shown(error.found)
            raise Mismatch(f"The param {name!r} is {expected}, but {found} was given.", name, expected, found) from None


def _reader(param: Param) -> Read:
    # A list of values and its items are held against the type in the same way wherever they stand.
    kind = param.type if param.shape is None else Array(param.type)
    read = reader(kind, wire=False, optional=True)
    return read if param.type != "datetime" or param.shape else lambda value: _moment(read(value))


def _moment(value: Any) -> Any:
    return value if value is None or isinstance(value, datetime) else value.item()


def _expected(param: Param) -> str:
    return describe(param.type if param.shape is None else Array(param.type))


def _default(param: Param, read: Read) -> Any:
    try:
        return read(param.default)
    except Unfit:
        return param.default  # what the model's maker wrote is what it gets
