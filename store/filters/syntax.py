"""What a filter says, before anybody knows which columns it means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import FilterError

__all__ = ["Comparison", "Expression", "Fault", "Group", "Literal", "Name", "Not", "conjuncts", "names_in"]


class Fault(FilterError):
    """Something wrong at a column of a filter, by which the text itself is not known."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.column: int = column


@dataclass(frozen=True, slots=True)
class Name:
    """A field as a filter names it.

    Attributes:
        group: `params`, `metrics`, `tags`, `datasets` or `source`; empty for the plain fields.
        name: Its name within the group, without quotes.
        statistic: `min`, `max`, `count` or `last` of a metric, where one is asked for.
        text: What was written.
        column: Where it was written; the first character is 1.
    """

    group: str
    name: str
    statistic: str = ""
    text: str = ""
    column: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """What it means, wherever and however it was written."""
        return self.group, self.name, self.statistic


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a text, or true and false, with what was written."""

    value: float | str | bool
    text: str
    column: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field beside literals; `operator` is in small letters, without its `not`."""

    field: Name
    operator: str
    values: tuple[Literal, ...] = ()
    negated: bool = False
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of another expression."""

    operand: Expression
    depth: int


@dataclass(frozen=True, slots=True)
class Group:
    """Expressions of which all hold (`and`), or any (`or`)."""

    operator: str
    operands: tuple[Expression, ...]
    depth: int


Expression = Comparison | Not | Group


def names_in(expression: Expression | None) -> Iterator[Name]:
    """Give every field that an expression names."""
    if isinstance(expression, Comparison):
        yield expression.field
    elif isinstance(expression, Not):
        yield from names_in(expression.operand)
    elif expression is not None:
        for operand in expression.operands:
            yield from names_in(operand)


def conjuncts(expression: Expression | None) -> tuple[Expression, ...]:
    """Give the expressions all of which must hold."""
    if isinstance(expression, Group) and expression.operator == "and":
        return tuple(part for operand in expression.operands for part in conjuncts(operand))
    return () if expression is None else (expression,)
