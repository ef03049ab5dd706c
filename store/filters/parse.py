"""From the text of a filter, or of an order, to what it says."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput

from ...errors import FilterError
from .hints import unexpected
from .syntax import Comparison, Expression, Fault, Group, Literal, Name, Not

__all__ = ["parse_column", "parse_filter", "parse_order"]

# Databases bound the depth of an expression and the number of its parameters; nobody reads such filters either.
_LONGEST = 1_000_000
_DEEPEST = 20
_MOST_COMPARISONS = 200
_MOST_VALUES = 10_000
_LONGEST_PATTERN = 10_000
_STATISTICS = ("min", "max", "count", "last")


def parse_filter(text: str) -> Expression | None:
    """Parse a filter; the empty text is no condition at all.

    Raises:
        FilterError: It is no text, does not parse, or is too large.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise FilterError(f'A filter is a text such as "metrics.rmse < 0.8", not {type(text).__name__}')
    return _parse("filter", text, "The filter") if text.strip() else None


def parse_order(text: str) -> tuple[Name, bool]:
    """Parse a term such as `metrics.rmse desc`, and tell whether it descends.

    Raises:
        FilterError: It does not parse.
    """
    return _parse("order", text, "The order")


def parse_column(text: str) -> Name:
    """Parse the name of a field.

    Raises:
        FilterError: It does not parse.
    """
    return _parse("column", text, "The column")


def _parse(start: str, text: str, what: str) -> Any:
    _check_text(text, what)
    try:
        return _parser(start).parse(text)  # pyright: ignore[reportUnknownMemberType]
    except UnexpectedInput as error:
        fault = _fault_of(error, text, what)
        raise FilterError(str(fault), text, fault.column) from None
    except Fault as fault:
        raise FilterError(str(fault), text, fault.column) from None


def _fault_of(error: UnexpectedInput, text: str, what: str) -> Fault:
    token: Token | None = getattr(error, "token", None)
    if isinstance(error, UnexpectedCharacters):
        at: Any = error
        return unexpected(what, text, at.pos_in_stream or 0, set(at.allowed or ()))
    if token is None or token.type == "$END":
        return Fault(f"{what} ends too early", len(text) + 1)
    return unexpected(what, text, token.start_pos or 0, set(getattr(error, "expected", ())))


def _check_text(text: str, what: str) -> None:
    if len(text) > _LONGEST:
        raise FilterError(f"{what} has {len(text):,} characters; at most {_LONGEST:,} are allowed.")
    bad = next((i for i, char in enumerate(text) if char == "\0" or "\ud800" <= char <= "\udfff"), None)
    if bad is not None:
        raise FilterError(f"{what} has a character that no text in the store can have", text, bad + 1)


@functools.cache
def _parser(start: str) -> Lark:
    grammar = resources.files(__name__.rpartition(".")[0]).joinpath("grammar.lark").read_text()
    # Transforming while parsing needs no recursion, however deep the parentheses.
    return Lark(grammar, parser="lalr", start=start, transformer=_Builder(), maybe_placeholders=True)


class _Builder(Transformer[Token, Any]):
    """Keeps nothing between calls: one serves every thread."""

    def filter(self, parts: list[Expression]) -> Expression:
        _check_size(parts[0])
        return parts[0]

    def order(self, parts: list[Any]) -> tuple[Name, bool]:
        return parts[0], any(part is not None and part.type == "DESC" for part in parts[1:])

    def column(self, parts: list[Any]) -> Name:
        return parts[0]

    def either(self, parts: list[Expression]) -> Expression:
        return Group("or", tuple(parts), _deeper(parts))

    def both(self, parts: list[Expression]) -> Expression:
        return Group("and", tuple(parts), _deeper(parts))

    def negation(self, parts: list[Any]) -> Expression:
        return Not(parts[1], _deeper(parts[1:], _column(parts[0])))

    def compare(self, parts: list[Any]) -> Expression:
        return Comparison(parts[0], str(parts[1]), (parts[2],))

    def within(self, parts: list[Any]) -> Expression:
        return Comparison(parts[0], "in", tuple(parts[3:]), negated=parts[1] is not None)

    def between(self, parts: list[Any]) -> Expression:
        return Comparison(parts[0], "between", tuple(parts[3:]), negated=parts[1] is not None)

    def like(self, parts: list[Any]) -> Expression:
        pattern = Literal(_unquote(parts[3]), str(parts[3]), _column(parts[3]))
        _check_pattern(pattern)
        return Comparison(parts[0], parts[2].type.lower(), (pattern,), negated=parts[1] is not None)

    def null(self, parts: list[Any]) -> Expression:
        return Comparison(parts[0], "is null", negated=parts[2] is not None)

    def field(self, parts: list[Token]) -> Name:
        text, column = str(parts[0]), _column(parts[0])
        if parts[0].type == "PLAIN":
            return Name("", text.lower().removeprefix("attributes."), text=text, column=column)
        group, _, rest = text.partition(".")
        group = group.lower()
        name, statistic = _split_name(group, rest)
        if statistic and group != "metrics":
            raise Fault(f"Only metrics have {statistic!r}, and {text} is none", column)
        return Name(group, name, statistic, text, column)

    def literal(self, parts: list[Token]) -> Literal:
        token = parts[0]
        value = float(token) if token.type == "NUMBER" else token.lower() == "true"
        return Literal(_unquote(token) if token.type == "STRING" else value, str(token), _column(token))


def _split_name(group: str, text: str) -> tuple[str, str]:
    if text[0] in '`"':
        quote = text[0]
        end = text.rindex(quote)
        return text[1:end].replace(quote * 2, quote), text[end + 2 :].lower()
    before, dot, last = text.rpartition(".")
    if group == "metrics" and dot and before and last.lower() in _STATISTICS:
        return before, last.lower()
    return text, ""


def _deeper(parts: list[Expression], column: int = 1) -> int:
    depth = 1 + max(part.depth for part in parts)
    if depth > _DEEPEST:
        raise Fault(f"The filter is nested more than {_DEEPEST} levels deep", column)
    return depth


def _check_size(expression: Expression) -> None:
    comparisons, values, waiting = 0, 0, [expression]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Comparison):
            comparisons, values = comparisons + 1, values + len(one.values)
            if comparisons > _MOST_COMPARISONS or values > _MOST_VALUES:
                raise Fault(
                    f"The filter has more than {_MOST_COMPARISONS} comparisons or {_MOST_VALUES:,} values;"
                    " use `in` for lists, or search in parts",
                    one.field.column,
                )
        elif isinstance(one, Not):
            waiting.append(one.operand)
        else:
            waiting += reversed(one.operands)


def _check_pattern(pattern: Literal) -> None:
    text = str(pattern.value)
    if len(text) > _LONGEST_PATTERN:
        raise Fault(f"A pattern has at most {_LONGEST_PATTERN:,} characters", pattern.column)
    if (len(text) - len(text.rstrip("\\"))) % 2:
        raise Fault(r"A pattern cannot end in a single backslash; write \\ for one", pattern.column)


def _unquote(token: Token) -> str:
    quote = token[0]
    return str(token[1:-1]).replace(quote * 2, quote)


def _column(token: Token) -> int:
    return (token.start_pos or 0) + 1
