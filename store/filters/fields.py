"""The fields that a filter or an order may name, and how each is looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from ...errors import FilterError
from .. import schema
from ..clock import now_ms
from ..records import to_ms
from ..runs import LOST_AFTER_MS

__all__ = ["RUN_FIELDS", "Field", "Fields", "order_terms", "run_status"]

Condition = sa.ColumnElement[bool]
Test = Callable[[sa.ColumnElement[Any], Any], Condition]


class Field(Protocol):
    """Something that can be compared, and sorted by."""

    def where(self, value: float | str, test: Test) -> Condition:
        """Hold where the field exists and its value passes the test."""
        ...

    def exists(self) -> Condition:
        """Hold where the field has a value."""
        ...

    def key(self) -> sa.ColumnElement[Any]:
        """Give the value to sort by; NULL sorts last."""
        ...


@dataclass(frozen=True)
class Column:
    """A column of the searched table itself."""

    column: sa.ColumnElement[Any]
    kind: str = "text"

    def where(self, value: float | str, test: Test) -> Condition:
        """Hold where the column's value passes the test."""
        return test(self.column, _coerce(value, self.kind))

    def exists(self) -> Condition:
        """Hold where the column is not NULL."""
        return self.column.is_not(None)

    def key(self) -> sa.ColumnElement[Any]:
        """Give the column."""
        return self.column


@dataclass(frozen=True)
class Annotation:
    """A param, metric or tag of a run, found by its interned name."""

    table: sa.Table
    name: str
    text: str | None
    number: str | None

    def where(self, value: float | str, test: Test) -> Condition:
        """Compare as numbers where the literal is one, else as text."""
        column = self.number if isinstance(value, float) else self.text
        if column is None:
            if self.number is None:
                return self.where(_plain_number(value), test)
            raise FilterError(f"metrics.{self.name} is a number and cannot be compared with {value!r}; drop the quotes")
        return self._match(test(self.table.c[column], value))

    def exists(self) -> Condition:
        """Hold where the run has it."""
        return self._match(sa.true())

    def key(self) -> sa.ColumnElement[Any]:
        """Give its number where it is one, else its text."""
        column = self.table.c[self.number or self.text or ""]
        return sa.select(column).where(*self._of_run()).scalar_subquery()

    def _match(self, condition: Condition) -> Condition:
        return sa.exists().where(*self._of_run(), condition)

    def _of_run(self) -> list[Condition]:
        name_id = sa.select(schema.names.c.id).where(schema.names.c.name == self.name).scalar_subquery()
        conditions = [self.table.c.run_seq == schema.runs.c.seq, self.table.c.name_id == name_id]
        if "attempt" in self.table.c:
            conditions.append(self.table.c.attempt == schema.runs.c.attempt)
        return conditions


@dataclass(frozen=True)
class Fields:
    """The plain fields by name, and the groups that hold fields of any name."""

    plain: Mapping[str, Field]
    groups: Mapping[str, Callable[[str], Field]]

    def find(self, text: str) -> Field:
        """Give the field that `text` names; KeyError if there is none."""
        group, _, name = text.partition(".")
        if name and group in self.groups:
            return self.groups[group](name.strip('`"'))
        return self.plain[name if group == "attributes" and name else text]

    def names(self) -> list[str]:
        """Give the names for an error message."""
        return [*self.plain, *(f"{group}.<name>" for group in self.groups)]


def order_terms(order_by: Iterable[str], fields: Fields) -> list[sa.ColumnElement[Any]]:
    """Compile `["metrics.rmse", "started_at desc"]`; what has no value sorts last either way.

    Raises:
        FilterError: A term names no field, or a direction other than asc and desc.
    """
    terms: list[sa.ColumnElement[Any]] = []
    for text in order_by:
        name, _, direction = (
            text.strip().rpartition(" ") if text.lower().endswith((" asc", " desc")) else (text, "", "")
        )
        try:
            key = fields.find(name.strip()).key()
        except KeyError:
            raise FilterError(f"Cannot order by {text!r}; the fields are {', '.join(fields.names())}") from None
        terms += [key.is_(None), key.desc() if direction.lower() == "desc" else key.asc()]
    return terms


def _coerce(value: float | str, kind: str) -> Any:
    if kind == "time" and isinstance(value, str):
        try:
            return to_ms(datetime.fromisoformat(value))
        except ValueError:
            raise FilterError(f"{value!r} is not a time; write it as 2026-01-31T12:00:00Z") from None
    if kind == "number" and isinstance(value, str):
        raise FilterError(f"{value!r} is compared with a number; drop the quotes")
    if kind == "text" and isinstance(value, float):
        return _plain_number(value)
    return value


def _plain_number(value: float | str) -> str:
    return str(value) if isinstance(value, str) else f"{value:g}"


_r = schema.runs.c
run_status = sa.case(
    (sa.and_(_r.status == "Running", _r.heartbeat_at < now_ms() - LOST_AFTER_MS), "Crashed"), else_=_r.status
)
# Correlated by hand: the query that lists runs joins the experiments, too.
_experiment = (
    sa.select(schema.experiments.c.name).where(schema.experiments.c.id == _r.experiment_id).correlate(schema.runs)
)
RUN_FIELDS = Fields(
    plain={
        "id": Column(_r.id),
        "name": Column(_r.name),
        "experiment": Column(_experiment.scalar_subquery()),
        "status": Column(run_status),
        "attempt": Column(_r.attempt, "number"),
        "parent_id": Column(_r.parent_id),
        "user": Column(_r.user),
        "started_at": Column(_r.started_at, "time"),
        "ended_at": Column(_r.ended_at, "time"),
        "flow_run_id": Column(_r.flow_run_id),
        "task_run_id": Column(_r.task_run_id),
    },
    groups={
        "params": lambda name: Annotation(schema.params, name, "value", "number"),
        "metrics": lambda name: Annotation(schema.series, name, None, "last"),
        "tags": lambda name: Annotation(schema.tags, name, "value", None),
    },
)
