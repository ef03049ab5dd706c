"""From the text of a filter to one SQLAlchemy condition."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import sqlalchemy as sa
from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput
from lark.exceptions import VisitError

from ...errors import FilterError
from .fields import Field, Fields

__all__ = ["compile_filter"]

Condition = sa.ColumnElement[bool]


def compile_filter(text: str, fields: Fields) -> Condition:
    """Compile a filter; the empty text means all.

    Args:
        text: For instance `metrics.rmse < 0.8 and not status = 'Failed'`.
        fields: The names that this filter may use.

    Raises:
        FilterError: The filter does not parse, or names a field that does not exist.
    """
    if not text.strip():
        return sa.true()
    try:
        tree = _parser().parse(text)  # pyright: ignore[reportUnknownMemberType]
        return _Compiler(text, fields).transform(tree)
    except UnexpectedCharacters as error:
        raise FilterError(f"The filter has an unexpected {text[error.pos_in_stream]!r}", text, error.column) from error
    except UnexpectedInput as error:
        token = getattr(error, "token", None)
        if token is None or token.type == "$END":
            raise FilterError("The filter ends too early", text, len(text) + 1) from error
        raise FilterError(f"The filter has an unexpected {str(token)!r}", text, error.column) from error
    except VisitError as error:
        if isinstance(error.orig_exc, FilterError):
            raise error.orig_exc from None
        raise


@functools.cache
def _parser() -> Lark:
    grammar = resources.files(__name__.rpartition(".")[0]).joinpath("grammar.lark").read_text()
    return Lark(grammar, parser="lalr")


class _Compiler(Transformer[Token, Any]):
    def __init__(self, text: str, fields: Fields) -> None:
        super().__init__()
        self._text = text
        self._fields = fields

    def field(self, parts: list[Token]) -> Field:
        token = parts[0]
        try:
            return self._fields.find(str(token))
        except KeyError:
            known = ", ".join(self._fields.names())
            raise FilterError(
                f"There is no field {str(token)!r}; the fields are {known}", self._text, token.column
            ) from None

    def literal(self, parts: list[Token]) -> float | str:
        token = parts[0]
        return float(token) if token.type == "NUMBER" else _unquote(token)

    def either(self, parts: list[Any]) -> Condition:
        return sa.or_(*_conditions(parts))

    def both(self, parts: list[Any]) -> Condition:
        return sa.and_(*_conditions(parts))

    def negation(self, parts: list[Any]) -> Condition:
        return sa.not_(parts[-1])

    def compare(self, parts: list[Any]) -> Condition:
        field: Field = parts[0]
        operator, value = parts[1:]
        operators = {"=": "__eq__", "!=": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}
        return field.where(value, lambda column, v: getattr(column, operators[str(operator)])(v))

    def within(self, parts: list[Any]) -> Condition:
        return _any_of(parts[0], parts[2:])

    def without(self, parts: list[Any]) -> Condition:
        return sa.and_(parts[0].exists(), sa.not_(_any_of(parts[0], parts[3:])))

    def between(self, parts: list[Any]) -> Condition:
        field: Field = parts[0]
        low, high = parts[2], parts[4]
        return sa.and_(field.where(low, lambda c, v: c >= v), field.where(high, lambda c, v: c <= v))

    def like(self, parts: list[Any]) -> Condition:
        field: Field = parts[0]
        return field.where(_unquote(parts[2]), lambda column, v: column.like(v))

    def ilike(self, parts: list[Any]) -> Condition:
        field: Field = parts[0]
        return field.where(_unquote(parts[2]), lambda column, v: column.ilike(v))

    def absent(self, parts: list[Any]) -> Condition:
        return sa.not_(parts[0].exists())

    def present(self, parts: list[Any]) -> Condition:
        return parts[0].exists()


def _any_of(field: Field, values: list[float | str]) -> Condition:
    return sa.or_(*(field.where(value, lambda column, v: column == v) for value in values))


def _conditions(parts: list[Any]) -> list[Condition]:
    return [part for part in parts if not isinstance(part, Token)]


def _unquote(token: Token) -> str:
    quote = token[0]
    return str(token[1:-1]).replace(quote * 2, quote)
