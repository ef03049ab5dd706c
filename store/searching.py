"""How a search is carried out: along the index of the first term of its order, or from the few runs an index names.

Walking an index in order finds a page at once where many runs match, and takes for ever where few do; reading all that
match and sorting them is the other way round. A look at the indices, bounded in what it reads, tells which is less.
The walk goes phase by phase, for instance through the runs that have the metric, then through those that lack it, so
that one index sorts each part of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import schema
from .expressions import unindexed
from .filters.fields import Field, Fields, condition_of
from .filters.predicates import Condition
from .filters.run_fields import Annotation, Phase, RunField, candidates
from .filters.syntax import Comparison, Expression, Name, conjuncts
from .ordering import Place, Sorting, Term, behind, field_of, place_of, sortings, spread
from .rows import raw_rows

__all__ = ["Search", "count", "find"]

_MOST = 20_000
_FEW = 1_000
_r = schema.runs.c
Row = Sequence[Any]
Seqs = sa.Select[tuple[int]]


@dataclass(frozen=True)
class Search:
    """What is looked for.

    Attributes:
        base: Conditions beside the filter and the experiments.
        experiments: Ids of the experiments to look in; None means all.
        filter: The filter as it was parsed.
        text: The filter as it was written.
        terms: The order; one term at least.
        fields: What names mean.
    """

    base: tuple[Condition, ...]
    experiments: tuple[int, ...] | None
    filter: Expression | None
    text: str
    terms: tuple[Term, ...]
    fields: Fields

    def conditions(self, fields: Fields | None = None, *, driven: bool = False) -> list[Condition]:
        """Give all conditions.

        Args:
            fields: What names mean in this statement; `self.fields` by default.
            driven: Whether another index leads, so that the one of the experiments must not.
        """
        found = [*self.base, *self._within(unindexed(_r.experiment_id) if driven else _r.experiment_id)]
        if self.filter is not None:
            found.append(condition_of(self.filter, fields or self.fields, self.text))
        return found

    def check(self) -> None:
        """See that everything that is named exists.

        Raises:
            FilterError: Something does not, or cannot be compared or sorted so.
        """
        self.conditions()
        for term in self.terms:
            field_of(term, self.fields).phases()

    def options(self) -> list[Seqs]:
        """Give selections of runs each of which has all that match, from indices."""
        found = [one for part in conjuncts(self.filter) for one in candidates(part, self.fields)]
        return [*found, sa.select(_r.seq).where(*self._within(_r.experiment_id))] if self.experiments else found

    def _within(self, column: sa.ColumnElement[int]) -> list[Condition]:
        if self.experiments is None:
            return []
        return [column == self.experiments[0] if len(self.experiments) == 1 else column.in_(self.experiments)]


def find(
    connection: Connection, search: Search, columns: Sequence[sa.ColumnElement[Any]], limit: int, place: Place | None
) -> tuple[list[Row], Place | None]:
    """Give rows that begin with the columns of a page of runs, and the place of its last run where more follow.

    Args:
        connection: Where to look.
        search: What is looked for.
        columns: Columns of `runs` to give.
        limit: The most runs to give.
        place: The last run of the page before.
    """
    page = _Page(connection, search, tuple(columns), limit)
    few = _few(connection, search, limit)
    if few is None:
        page.walk(search.terms, [], place, [])
    else:
        page.sort(few, place)
    return page.rows[:limit], page.last if len(page.rows) > limit else None


def count(connection: Connection, search: Search) -> int:
    """Count what matches."""
    few = _few(connection, search, _MOST)
    narrowed = [] if few is None else [_r.seq.in_(few)]
    query = sa.select(sa.func.count()).select_from(schema.runs).where(*narrowed, *search.conditions())
    return int(connection.execute(query).scalar_one())


def _few(connection: Connection, search: Search, limit: int) -> Seqs | None:
    """Give the smallest selection that has all that match, if reading it is less than walking to the end of a page."""
    options = search.options()
    total = connection.execute(sa.select(sa.func.max(_r.seq))).scalar() or 0
    if not options or total <= _FEW:
        return None
    most = min(_MOST, max(_FEW, 4 * math.isqrt(limit * total)))
    counts = [_count_up_to(connection, option, most + 1) for option in options]
    share = math.prod(min(number, total) / total if number <= most else 0.5 for number in counts)
    smallest = min(counts)
    if smallest > most or smallest * share > limit:
        return None
    return options[counts.index(smallest)]


def _count_up_to(connection: Connection, option: Seqs, most: int) -> int:
    query = sa.select(sa.func.count()).select_from(option.limit(most).subquery())
    return int(connection.execute(query).scalar_one())


class _Page:
    """One page on its way: one run more than it holds, to know whether more follow."""

    def __init__(
        self, connection: Connection, search: Search, columns: tuple[sa.ColumnElement[Any], ...], limit: int
    ) -> None:
        self._connection = connection
        self._search = search
        self._columns = columns
        self._limit = limit
        self._descending = search.terms[0].descending
        self.rows: list[Row] = []
        self.last: list[Any] = []

    def sort(self, few: Seqs, place: Place | None) -> None:
        """Sort all runs of a selection that match."""
        source, sorted_by, counts = _joined(schema.runs, self._search.terms, self._search.fields)
        sorted_by = [*sorted_by, Sorting(_r.seq, self._descending)]
        conditions = [_r.seq.in_(few), *self._search.conditions(driven=True)]
        if place is not None:
            conditions.append(behind(sorted_by, spread(place, counts)))
        self._take(sa.select().select_from(source).where(*conditions), sorted_by, [], counts)

    def walk(self, terms: Sequence[Term], missing: list[Condition], place: Place | None, path: list[Any]) -> None:
        """Walk along the first term: through its phases, then, by the other terms, through the runs that lack it.

        Args:
            terms: The terms that still sort.
            missing: Conditions that the runs lack the terms before.
            place: The last run of the page before, as far as these terms go.
            path: The beginning of the place of what is found.
        """
        if not terms:
            self._walk_phase(None, Phase(_r.seq, None), [], missing, place, path)
            return
        field = field_of(terms[0], self._search.fields)
        phases = field.phases()
        first = 0 if place is None else place[0]
        for rank in range(first, self._last_phase(terms[0], len(phases))):
            after = place[1:] if place is not None and rank == first else None
            self._walk_phase(field, phases[rank], terms, missing, after, [*path, rank], rank)
            if len(self.rows) > self._limit:
                return
        if phases[-1].present is not None and not self._requires(terms[0]):
            after = place[2:] if place is not None and first == len(phases) else None
            self.walk(terms[1:], [*missing, _lacks(field)], after, [*path, len(phases), None])

    def _walk_phase(
        self,
        field: RunField | None,
        phase: Phase,
        terms: Sequence[Term],
        missing: list[Condition],
        place: Place | None,
        path: list[Any],
        rank: int = 0,
    ) -> None:
        source, fields, number, conditions = schema.runs, self._search.fields, _r.seq, list(missing)
        if isinstance(field, Annotation):
            field = field.at(field.table.alias("leading"))
            source = sa.join(field.table, schema.runs, sa.and_(*field.of_run()))
            fields, number = _bound(fields, field), field.table.c.run_seq
            phase = field.phases()[rank]
        if phase.present is not None:
            conditions.append(phase.present)
        source, rest, counts = _joined(source, terms[1:], fields)
        leading = [Sorting(phase.value, terms[0].descending)] if terms else []
        sorted_by = [*leading, *rest, Sorting(number, self._descending)]
        if place is not None:
            values = [*place[: len(leading)], *spread(place[len(leading) :], counts)]
            conditions.append(behind(sorted_by, values))
        conditions += self._search.conditions(fields, driven=isinstance(field, Annotation))
        self._take(sa.select().select_from(source).where(*conditions), sorted_by, path, counts, leading=len(leading))

    def _take(
        self, query: sa.Select[Any], sorted_by: list[Sorting], path: list[Any], counts: list[int], *, leading: int = 0
    ) -> None:
        keys = [sorting.value.label(f"key_{i}") for i, sorting in enumerate(sorted_by)]
        query = query.add_columns(*self._columns, *keys).order_by(*(one.in_order() for one in sorted_by if one.decides))
        found = raw_rows(self._connection, query.limit(self._limit + 1 - len(self.rows)))
        self.rows += found
        if found and len(self.rows) - len(found) < self._limit:
            values = self.rows[: self._limit][-1][len(self._columns) :]
            self.last = [*path, *values[:leading], *place_of(values[leading:], counts)]

    def _requires(self, term: Term) -> bool:
        """Whether what lacks the term does not match the filter anyway."""
        return any(
            isinstance(part, Comparison) and part.field.key == term.name.key and part.values
            for part in conjuncts(self._search.filter)
        )

    def _last_phase(self, term: Term, phases: int) -> int:
        """Texts follow numbers, but where the filter compares with numbers."""
        numeric = any(
            isinstance(part, Comparison)
            and part.field.key == term.name.key
            and part.values
            and all(isinstance(literal.value, float) for literal in part.values)
            for part in conjuncts(self._search.filter)
        )
        return 1 if numeric else phases


def _joined(
    source: sa.FromClause, terms: Sequence[Term], fields: Fields
) -> tuple[sa.FromClause, list[Sorting], list[int]]:
    """Join what the terms sort by, and give it with the number of phases of each."""
    sorted_by: list[Sorting] = []
    counts: list[int] = []
    for i, term in enumerate(terms):
        field = field_of(term, fields)
        if isinstance(field, Annotation) and not field.joined:
            field = field.at(field.table.alias(f"term_{i}"))
            source = sa.outerjoin(source, field.table, sa.and_(*field.of_run()))
        phases = field.phases()
        sorted_by += sortings(phases, descending=term.descending)
        counts.append(len(phases))
    return source, sorted_by, counts


def _lacks(field: RunField) -> Condition:
    phases = field.phases()
    present = sa.or_(*(phase.present for phase in phases if phase.present is not None))
    if isinstance(field, Annotation):
        return sa.not_(sa.exists().where(*field.of_run(), present)) if field.name_id is not None else sa.true()
    return sa.not_(present)


def _bound(fields: Fields, leading: Annotation) -> Fields:
    """Let names mean the joined row where it is theirs, so that the index is left where they hold no more."""

    def bind(field: Field) -> Field:
        if isinstance(field, Annotation) and field.name_id == leading.name_id and field.kept_in is leading.kept_in:
            return field.at(leading.table)
        return field

    def binding(find: Callable[[Name], Field]) -> Callable[[Name], Field]:
        return lambda name: bind(find(name))

    plain = {name: bind(field) for name, field in fields.plain.items()}
    return replace(fields, plain=plain, groups={group: binding(find) for group, find in fields.groups.items()})
