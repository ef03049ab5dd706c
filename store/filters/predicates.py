"""Comparisons of SQL expressions with literals: alike on SQLite and PostgreSQL, and true or false, never unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.expression import ColumnElement

from ...errors import FilterError
from ..expressions import by_code_point
from ..records import to_ms
from ..schema import INDEXED_TEXT
from .syntax import Comparison, Literal

__all__ = ["Condition", "compare", "compare_indexed_text", "convert", "indexed_text", "is_sargable"]

Condition = ColumnElement[bool]
_OPERATORS: dict[str, Callable[[Any, Any], Condition]] = {
    "=": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}
_WILDCARDS = "%_\\"
_LAST_CHARACTER = 0x10FFFF


def convert(literal: Literal, kind: str, name: str) -> Any:
    """Give a literal as a column of a kind (text, number, time, boolean) is compared with.

    Raises:
        FilterError: It cannot be.
    """
    value = literal.value
    if kind == "text":
        return str(value) if isinstance(value, (str, bool)) else literal.text
    if kind == "boolean":
        return _boolean(literal, name)
    if isinstance(value, bool):
        raise FilterError(f"{name} is a {_word(kind)} and cannot be compared with {literal.text}")
    if isinstance(value, float):
        return int(value) if kind != "float" and value.is_integer() and abs(value) < 2**63 else value
    if kind == "time":
        return _time(str(value))
    raise FilterError(f"{name} is a number and cannot be compared with {literal.text}; drop the quotes")


def compare(column: ColumnElement[Any], comparison: Comparison, kind: str) -> Condition:
    """Compare an expression that is not NULL."""
    values = [convert(literal, kind, comparison.field.text) for literal in comparison.values]
    found = _compare(column, comparison.operator, values, kind)
    return sa.not_(found) if comparison.negated else found


def _compare(column: ColumnElement[Any], operator: str, values: Sequence[Any], kind: str) -> Condition:
    ordered = _typed(column, operator, values, kind)
    match operator:
        case "in":
            return ordered.in_(values)
        case "between":
            return sa.and_(ordered >= values[0], ordered <= values[1])
        case "like":
            _only_text(kind)
            return sa.and_(*_within_prefix(ordered, values[0]), ordered.like(values[0], escape="\\"))
        case "ilike":
            _only_text(kind)
            return sa.func.lower(ordered).like(_ascii_lower(values[0]), escape="\\")
        case _:
            return _OPERATORS[operator](ordered, values[0])


def _typed(column: ColumnElement[Any], operator: str, values: Sequence[Any], kind: str) -> ColumnElement[Any]:
    """Give a column the type that its literals shall have, so that none is rounded, too large, or of another order."""
    if kind == "text":
        return column if operator in ("=", "!=", "in") else by_code_point(column)
    if kind in ("number", "time"):
        whole = all(isinstance(value, int) or (value.is_integer() and abs(value) < 2**63) for value in values)
        return sa.type_coerce(column, sa.BigInteger() if whole else sa.Float())
    return column


def indexed_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Give as much of a text as its index holds, spelled as in the index."""
    # Constants, as in the index: a parameter would not match it.
    return sa.func.substr(column, sa.text("1"), sa.text(str(INDEXED_TEXT)), type_=column.type)


def compare_indexed_text(column: ColumnElement[Any], operator: str, texts: Sequence[str]) -> Condition:
    """Compare a text that is not NULL, so that its index is of use; it has the beginning of the text only.

    A literal that is shorter than what the index holds is equal to a text, or above it, exactly where it is so to
    the beginning of the text.
    """
    start = indexed_text(column)
    short = all(len(text) < INDEXED_TEXT for text in texts)
    beginnings = [text[:INDEXED_TEXT] for text in texts]
    match operator:
        case "=" | "<" | "<=" | ">" | ">=" | "in" | "between" if short:
            return _compare(start, operator, texts, "indexed")
        case "=" | "in" | "between":
            near = _compare(start, operator, beginnings, "indexed")
            return sa.and_(near, _compare(column, operator, texts, "indexed"))
        case "<" | "<=":
            return sa.and_(start <= beginnings[0], _compare(column, operator, texts, "indexed"))
        case ">" | ">=":
            return sa.and_(start >= beginnings[0], _compare(column, operator, texts, "indexed"))
        case "like":
            prefix = _within_prefix(start, texts[0])
            return sa.and_(*prefix, column.like(texts[0], escape="\\"))
        case _:
            return _compare(column, operator, texts, "text")


def is_sargable(comparison: Comparison) -> bool:
    """Whether an index leads to just what a comparison matches."""
    if comparison.operator == "is null" or comparison.negated:
        return comparison.operator == "is null" and comparison.negated
    if comparison.operator == "like":
        return bool(_prefix(str(comparison.values[0].value)))
    return comparison.operator not in ("!=", "ilike")


def _within_prefix(column: ColumnElement[Any], pattern: str) -> list[Condition]:
    """Bound a pattern that begins with plain text, for an index to be of use on any database."""
    prefix = _prefix(pattern)[:INDEXED_TEXT]
    behind = _behind(prefix)
    return [*([column >= prefix] if prefix else []), *([column < behind] if behind else [])]


def _prefix(pattern: str) -> str:
    end = next((i for i, char in enumerate(pattern) if char in _WILDCARDS), len(pattern))
    return pattern[:end]


def _behind(prefix: str) -> str:
    """Give the first text behind all that begin with `prefix`; empty where there is none."""
    stem = prefix.rstrip(chr(_LAST_CHARACTER))
    if not stem:
        return ""
    code = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if 0xD800 <= code <= 0xDFFF else code)


def _ascii_lower(text: str) -> str:
    return text.translate({code: code + 32 for code in range(ord("A"), ord("Z") + 1)})


def _only_text(kind: str) -> None:
    if kind not in ("text", "indexed"):
        raise FilterError(f"`like` and `ilike` compare texts, and this is a {_word(kind)}")


def _word(kind: str) -> str:
    return "number" if kind == "float" else kind


def _boolean(literal: Literal, name: str) -> bool:
    if isinstance(literal.value, bool):
        return literal.value
    raise FilterError(f"{name} is true or false and cannot be compared with {literal.text}")


def _time(text: str) -> int:
    try:
        return to_ms(datetime.fromisoformat(text))
    except (ValueError, OverflowError, OSError):
        raise FilterError(f"{text!r} is not a time; write it as 2026-01-31T12:00:00Z") from None
