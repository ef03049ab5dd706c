"""Fields that filters may name, and the compilation of what a filter says about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa

from ...errors import FilterError
from .hints import meant
from .parse import parse_filter
from .predicates import Condition, compare
from .syntax import Comparison, Expression, Fault, Name, Not

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
        choices: The values that it can have, where these are few.
    """

    column: sa.ColumnElement[Any]
    kind: str = "text"
    nullable: bool = True
    choices: tuple[str, ...] = ()

    def where(self, comparison: Comparison) -> Condition:
        """Compile a comparison."""
        if comparison.operator == "is null":
            return self.column.is_not(None) if comparison.negated else self.column.is_(None)
        self._check_choices(comparison)
        matches = compare(self.column, comparison, self.kind)
        return sa.and_(self.column.is_not(None), matches) if self.nullable else matches

    def _check_choices(self, comparison: Comparison) -> None:
        if not self.choices or comparison.operator not in ("=", "!=", "in"):
            return
        for literal in comparison.values:
            if literal.value not in self.choices:
                hint = meant(str(literal.value), self.choices)
                known = ", ".join(self.choices)
                raise Fault(f"No {comparison.field.name} is {literal.text}{hint} It is one of {known}", literal.column)


@dataclass(frozen=True)
class Fields:
    """The plain fields by name, and the groups of fields.

    Attributes:
        plain: Fields by name.
        groups: What gives a field of a group; a KeyError where it has none of this name.
        members: The names in a group, where not any name is one.
    """

    plain: Mapping[str, Field]
    groups: Mapping[str, Callable[[Name], Field]]
    members: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])

    def find(self, name: Name) -> Field:
        """Give the field that was named.

        Raises:
            KeyError: There is none.
        """
        return self.groups[name.group](name) if name.group else self.plain[name.name]

    def names(self) -> list[str]:
        """Give the names for an error message."""
        return [*self.plain, *(name for group in self.groups for name in self._of_group(group))]

    def missing(self, name: Name) -> str:
        """Say that there is no such field, and which one may have been meant."""
        inside = self.members.get(name.group)
        hint = meant(name.name, inside, f"{name.group}.") if inside else meant(name.text, self.plain)
        if hint == "." and not name.group and "metrics" in self.groups:
            hint = f"; a metric is metrics.{name.name}, a param params.{name.name}."
        known = self._of_group(name.group) if inside else self.names()
        return f"There is no field {name.text!r}{hint} The fields are {', '.join(known)}"

    def _of_group(self, group: str) -> list[str]:
        return [f"{group}.{name}" for name in self.members.get(group, ("<name>",))]


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
        raise FilterError(fields.missing(named), text, named.column) from None
    except Fault as fault:
        raise FilterError(str(fault), text, fault.column) from None
    except FilterError as error:
        at = comparison.values[0].column if comparison.values else named.column
        raise FilterError(str(error), text, at) from None
