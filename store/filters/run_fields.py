"""The fields of runs: their own columns, and their params, metrics, tags and datasets by interned name."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import sqlalchemy as sa

from ...errors import FilterError
from .. import schema
from ..expressions import by_code_point
from ..names import normal_name
from ..runs import LOST_AFTER_MS
from .fields import Column, Field, Fields
from .predicates import Condition, compare, compare_indexed_text, convert, indexed_text, is_sargable
from .syntax import Comparison, Group, Name, Not

__all__ = ["Annotation", "Phase", "RunField", "candidates", "names_of", "run_fields"]

Seqs = sa.Select[tuple[int]]
_r = schema.runs.c
_STATUSES = ("Running", "Completed", "Failed", "Crashed", "Cancelled")
_SOURCE = ("project", "subfolder", "version", "entry_point", "commit", "branch", "environment")
_DATASETS = ("name", "digest", "role")
_TABLES = {"params": schema.params, "metrics": schema.series, "tags": schema.tags}


@dataclass(frozen=True)
class Phase:
    """Runs that are sorted by one expression.

    Attributes:
        value: What they are sorted by.
        present: Holds for these runs; None where it always does.
    """

    value: sa.ColumnElement[Any]
    present: Condition | None


class RunField(Field, Protocol):
    """A field of a run."""

    def among(self, comparison: Comparison) -> Seqs | None:
        """Give the runs among which all are that match, where an index leads to them; None where none does."""
        ...

    def phases(self) -> tuple[Phase, ...]:
        """Give what to sort by: the runs of one phase come before those of the next, and last those of none."""
        ...


@dataclass(frozen=True)
class RunColumn(Column):
    """A column of the run itself.

    Attributes:
        indexed: Whether an index begins with it.
    """

    indexed: bool = False

    def among(self, comparison: Comparison) -> Seqs | None:
        """Give the runs that match, where there is an index."""
        if self.indexed and is_sargable(comparison):
            return sa.select(_r.seq).where(self.where(comparison))
        return None

    def phases(self) -> tuple[Phase, ...]:
        """Sort by the column."""
        value = by_code_point(self.column) if self.kind == "text" else self.column
        return (Phase(value, self.column.is_not(None) if self.nullable else None),)


@dataclass(frozen=True)
class Annotation:
    """A param, metric or tag of a run.

    Attributes:
        table: Where it is kept.
        name_id: Its interned name; None where no run has it.
        number: The column that compares with numbers, if any.
        text: The column that compares with texts, if any.
        joined: Whether `table` is in the query already, as a row of the run.
    """

    table: sa.FromClause
    name_id: int | None
    number: str | None
    text: str | None
    joined: bool = False

    @property
    def kept_in(self) -> sa.FromClause:
        """The table itself, whatever it is called in the query."""
        return self.table.element if isinstance(self.table, sa.Alias) else self.table

    def where(self, comparison: Comparison) -> Condition:
        """Compare as numbers where the literal is one, else as text."""
        if comparison.operator == "is null":
            return self._exists(sa.true()) if comparison.negated else sa.not_(self._exists(sa.true()))
        return self._exists(self._matches(comparison))

    def among(self, comparison: Comparison) -> Seqs | None:
        """Give the runs of which some attempt matches."""
        if not is_sargable(comparison) or self.name_id is None:
            return None
        table = self.kept_in
        plain = Annotation(table, self.name_id, self.number, self.text, joined=True)
        return sa.select(table.c.run_seq).where(table.c.name_id == _constant(self.name_id), plain.where(comparison))

    def phases(self) -> tuple[Phase, ...]:
        """Numbers come first, then texts by their beginning."""
        number = self.table.c[self.number] if self.number else None
        text = self.table.c[self.text] if self.text else None
        found: list[Phase] = []
        if number is not None:
            found.append(Phase(number, number.is_not(None)))
        if text is not None:
            present = text.is_not(None)
            found.append(Phase(indexed_text(text), present if number is None else sa.and_(number.is_(None), present)))
        return tuple(found)

    def at(self, table: sa.FromClause) -> Annotation:
        """Give the same with its row joined to the query."""
        return Annotation(table, self.name_id, self.number, self.text, joined=True)

    def of_run(self) -> list[Condition]:
        """Hold for its row of the run."""
        conditions = [self.table.c.run_seq == _r.seq, self.table.c.name_id == _constant(self.name_id or 0)]
        return [*conditions, self.table.c.attempt == _r.attempt] if "attempt" in self.table.c else conditions

    def _exists(self, condition: Condition) -> Condition:
        if self.name_id is None:
            return sa.false()
        if self.joined:
            return condition
        return sa.exists().where(*self.of_run(), condition)

    def _matches(self, comparison: Comparison) -> Condition:
        numeric = [bool(self.number) and isinstance(literal.value, float) for literal in comparison.values]
        numbers = tuple(itertools.compress(comparison.values, numeric))
        texts = tuple(itertools.compress(comparison.values, map(operator.not_, numeric)))
        if numbers and texts and comparison.operator == "between":
            raise FilterError("`between` takes two numbers or two texts")
        if not numbers or not texts:
            return self._of_kind(comparison)
        either = [Comparison(comparison.field, "in", some) for some in (numbers, texts)]
        found = sa.or_(*(self._of_kind(one) for one in either))
        return sa.not_(found) if comparison.negated else found

    def _of_kind(self, comparison: Comparison) -> Condition:
        named = comparison.field.text
        if self.number and (self.text is None or isinstance(comparison.values[0].value, float)):
            column = self.table.c[self.number]
            matches = compare(column, comparison, "number" if self.number == "count" else "float")
            # A text compares with no number: it is not below it, and it is not another one.
            return sa.and_(column.is_not(None), matches)
        column = self.table.c[self.text or ""]
        texts = [str(convert(literal, "text", named)) for literal in comparison.values]
        matches = compare_indexed_text(column, comparison.operator, texts)
        return sa.not_(matches) if comparison.negated else matches


@dataclass(frozen=True)
class DatasetField:
    """Something about the datasets that the latest attempt has used: a comparison holds where one of them matches."""

    column: sa.ColumnElement[Any]
    kind: str = "text"

    def where(self, comparison: Comparison) -> Condition:
        """Hold where one of the run's datasets matches."""
        used = schema.run_datasets.c
        matching = self._matching(comparison).where(used.run_seq == _r.seq, used.attempt == _r.attempt)
        exists = matching.correlate(schema.runs).exists()
        return sa.not_(exists) if comparison.operator == "is null" and not comparison.negated else exists

    def among(self, comparison: Comparison) -> Seqs | None:
        """Give the runs that have used a dataset that matches."""
        return self._matching(comparison) if is_sargable(comparison) else None

    def phases(self) -> tuple[Phase, ...]:
        """Refuse: a run may have used several datasets."""
        raise FilterError("A run may have used several datasets, which cannot be sorted by; order by something else")

    def _matching(self, comparison: Comparison) -> Seqs:
        used = schema.run_datasets.c
        query = sa.select(used.run_seq).join_from(
            schema.run_datasets, schema.datasets, schema.datasets.c.id == used.dataset_id
        )
        if comparison.operator == "is null":
            return query.where(self.column.is_not(None))
        return query.where(self.column.is_not(None), compare(self.column, comparison, self.kind))


@dataclass(frozen=True)
class ExperimentField:
    """The name of the run's experiment."""

    def where(self, comparison: Comparison) -> Condition:
        """Hold where the experiment's name matches."""
        if comparison.operator == "is null":
            return sa.true() if comparison.negated else sa.false()
        table = schema.experiments.c
        values = tuple(replace(one, value=normal_name(convert(one, "text", "experiment"))) for one in comparison.values)
        comparison = replace(comparison, values=values)
        return _r.experiment_id.in_(sa.select(table.id).where(compare(table.name, comparison, "text")))

    def among(self, comparison: Comparison) -> Seqs | None:
        """Give the runs of experiments that match."""
        return sa.select(_r.seq).where(self.where(comparison)) if is_sargable(comparison) else None

    def phases(self) -> tuple[Phase, ...]:
        """Sort by the name."""
        table = schema.experiments.c
        name = sa.select(table.name).where(table.id == _r.experiment_id).correlate(schema.runs).scalar_subquery()
        return (Phase(by_code_point(name), None),)


def _constant(name_id: int) -> sa.ColumnElement[int]:
    """Give an interned name as a constant of the statement, so that planners know how many rows bear it."""
    return sa.literal_column(str(int(name_id)), sa.BigInteger())


def run_fields(ids: Mapping[str, int], now: int) -> Fields:
    """Give the fields of runs.

    Args:
        ids: Id of each name that the search uses and that the store knows.
        now: The database's time, in milliseconds since 1970: what has been silent for long reads as Crashed.
    """
    lost = sa.and_(_r.status == "Running", _r.heartbeat_at < now - LOST_AFTER_MS)
    plain: dict[str, Field] = {
        "id": RunColumn(_r.id, nullable=False, indexed=True),
        "name": RunColumn(_r.name, nullable=False),
        "experiment": ExperimentField(),
        "status": RunColumn(sa.case((lost, "Crashed"), else_=_r.status), nullable=False, choices=_STATUSES),
        "attempt": RunColumn(_r.attempt, "number", nullable=False),
        "parent_id": RunColumn(_r.parent_id, indexed=True),
        "user": RunColumn(_r.user, nullable=False),
        "started_at": RunColumn(_r.started_at, "time", nullable=False, indexed=True),
        "ended_at": RunColumn(_r.ended_at, "time"),
        "flow_run_id": RunColumn(_r.flow_run_id, indexed=True),
        "task_run_id": RunColumn(_r.task_run_id),
        "artifact_uri": RunColumn(_r.artifact_uri, nullable=False),
        "superseded": RunColumn(_r.superseded, "boolean", nullable=False),
        "note": Annotation(schema.tags, ids.get("note"), None, "value"),
    }
    return Fields(plain, _groups(ids), {"datasets": _DATASETS, "source": _SOURCE})


def _groups(ids: Mapping[str, int]) -> dict[str, Callable[[Name], Field]]:
    columns = (schema.datasets.c.name, schema.datasets.c.digest, schema.run_datasets.c.role)
    datasets = {name: DatasetField(column) for name, column in zip(_DATASETS, columns, strict=True)}
    source = {name: RunColumn(_r.source[name].as_string()) for name in _SOURCE}
    found: dict[str, Callable[[Name], Field]] = {
        "params": lambda name: Annotation(schema.params, ids.get(name.name), "number", "value"),
        "metrics": lambda name: Annotation(schema.series, ids.get(name.name), name.statistic or "last", None),
        "tags": lambda name: Annotation(schema.tags, ids.get(name.name), None, "value"),
        "datasets": lambda name: datasets[name.name],
        "source": lambda name: source[name.name],
    }
    return found


def names_of(used: Iterable[Name]) -> set[str]:
    """Give the names whose ids a search needs."""
    return {"note" if not name.group else name.name for name in used if name.group in _TABLES or name.name == "note"}


def candidates(expression: Comparison | Not | Group, fields: Fields) -> list[Seqs]:
    """Give selections of runs, each of which has all that match; none where no index helps."""
    if isinstance(expression, Comparison):
        field = cast("RunField", fields.find(expression.field))
        found = field.among(expression)
        return [] if found is None else [found]
    if isinstance(expression, Not):
        return []
    parts = [candidates(operand, fields) for operand in expression.operands]
    if expression.operator == "and":
        return [one for part in parts for one in part]
    if not all(parts):
        return []
    return [sa.select(sa.union_all(*(part[0] for part in parts)).subquery().c[0])]
