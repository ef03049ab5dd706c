"""Fields that filters may name, and the compilation of what a filter says about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from ...errors import FilterError
from .parse import parse_filter
from .predicates import Condition, compare
from .syntax import Comparison, Expression, Name, Not

__all__ = ["Column", "Field", "Fields", "compile_filter", "condition_of"]


class Field(Protocol):
    """Something that can be compared."""

    def where(self, comparison: Comparison) -> Condition:
        """Compile a comparison; the condition is true or false, never unknown: what has no value matches none."""
        ...


@dataclass(frozen=True)
class Column:
    """A column of the searched table itself, or an expression of its columns.

    Attributes:
        column: The expression.
        kind: text, number, time or boolean.
        nullable: Whether it may be NULL.
    """

    column: sa.ColumnElement[Any]
    kind: str = "text"
    nullable: bool = True

    def where(self, comparison: Comparison) -> Condition:
        """Compile a comparison."""
        if comparison.operator == "is null":
            return self.column.is_not(None) if comparison.negated else self.column.is_(None)
        matches = compare(self.column, comparison, self.kind)
        return sa.and_(self.column.is_not(None), matches) if self.nullable else matches


@dataclass(frozen=True)
class Fields:
    """The plain fields by name, and the groups that hold fields of any name."""

    plain: Mapping[str, Field]
    groups: Mapping[str, Callable[[Name], Field]]

    def find(self, name: Name) -> Field:
        """Give the field that was named.

        Raises:
            KeyError: There is none.
        """
        return self.groups[name.group](name) if name.group else self.plain[name.name]

    def names(self) -> list[str]:
        """Give the names for an error message."""
        return [*self.plain, *(f"{group}.<name>" for group in self.groups)]


def compile_filter(text: str, fields: Fields) -> Condition:
    """Compile a filter; the empty text means all.

    Args:
        text: For instance `metrics.rmse < 0.8 and not status = 'Failed'`.
        fields: The names that this filter may use.

    Raises:
        FilterError: The filter does not parse, or names a field that does not exist.
    """
    parsed = parse_filter(text)
    return sa.true() if parsed is None else condition_of(parsed, fields, text)


def condition_of(expression: Expression, fields: Fields, text: str) -> Condition:
    """Compile what was parsed from `text`."""
    if isinstance(expression, Comparison):
        return _compare(expression, fields, text)
    if isinstance(expression, Not):
        return sa.not_(condition_of(expression.operand, fields, text))
    conditions = [condition_of(operand, fields, text) for operand in expression.operands]
    return sa.and_(*conditions) if expression.operator == "and" else sa.or_(*conditions)


def _compare(comparison: Comparison, fields: Fields, text: str) -> Condition:
    named = comparison.field
    try:
        return fields.find(named).where(comparison)
    except KeyError:
        known = ", ".join(fields.names())
        raise FilterError(f"There is no field {named.text!r}; the fields are {known}", text, named.column) from None
    except FilterError as error:
        at = comparison.values[0].column if comparison.values else named.column
        raise FilterError(str(error), text, at) from None
