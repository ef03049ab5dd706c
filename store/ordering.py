"""The order of a search, and where a page of it begins: after the last run of the page before, whatever was inserted.

A run's place is a sequence of values, compared one after the other: for each term the number of its phase and the value
in that phase, and last its number in the store. What is equal in all terms comes oldest first, or newest first where
the first term descends.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa

from ..errors import FilterError
from .filters.fields import Fields
from .filters.parse import parse_order
from .filters.predicates import Condition
from .filters.run_fields import Phase, RunField
from .filters.syntax import Name

__all__ = [
    "Place",
    "Sorting",
    "Term",
    "behind",
    "field_of",
    "pack_token",
    "parse_terms",
    "place_of",
    "sortings",
    "spread",
    "unpack_token",
]

Place = Sequence[Any]
"""Of the last run that was given: number of the phase and value for each term, and the run's number."""


@dataclass(frozen=True)
class Term:
    """One term of an order."""

    name: Name
    descending: bool
    text: str


@dataclass(frozen=True)
class Sorting:
    """One expression to sort by; one that is the same for all runs decides nothing."""

    value: sa.ColumnElement[Any]
    descending: bool
    decides: bool = True

    def in_order(self) -> sa.ColumnElement[Any]:
        """Give it for ORDER BY."""
        return self.value.desc() if self.descending else self.value.asc()


def parse_terms(order_by: Iterable[str]) -> tuple[Term, ...]:
    """Parse the terms of an order.

    Raises:
        FilterError: One does not parse.
    """
    if isinstance(order_by, str):
        raise FilterError(f"order_by is a list of fields, such as [{order_by!r}]")
    return tuple(Term(*parse_order(text), text) for text in order_by)


def field_of(term: Term, fields: Fields) -> RunField:
    """Give the field that a term names.

    Raises:
        FilterError: There is none.
    """
    try:
        return cast("RunField", fields.find(term.name))
    except KeyError:
        known = ", ".join(fields.names())
        raise FilterError(f"Cannot order by {term.text!r}; the fields are {known}") from None


def sortings(phases: Sequence[Phase], *, descending: bool) -> list[Sorting]:
    """Give what sorts all phases in one statement: the number of the phase, then the value in each of them."""
    if len(phases) == 1 and phases[0].present is None:
        return [
            Sorting(sa.literal_column("0", sa.Integer()), False, decides=False),
            Sorting(phases[0].value, descending),
        ]
    ranks = [(phase.present, sa.literal_column(str(i), sa.Integer())) for i, phase in enumerate(phases)]
    rank = sa.case(*cast("Any", ranks), else_=sa.literal_column(str(len(phases)), sa.Integer()))
    values = [phases[0].value] if len(phases) == 1 else [_only(phase) for phase in phases]
    return [Sorting(rank, False), *(Sorting(value, descending) for value in values)]


def _only(phase: Phase) -> sa.ColumnElement[Any]:
    """Give the value in its phase, and NULL in the others, so that it decides nothing there."""
    return sa.case((cast("Any", phase.present), phase.value), else_=sa.null())


def place_of(keys: Sequence[Any], counts: Sequence[int]) -> list[Any]:
    """Turn the sorted values of a row (rank and `count` values for each term, then the number) into its place."""
    place: list[Any] = []
    position = 0
    for count in counts:
        rank, values = keys[position], keys[position + 1 : position + 1 + count]
        place += [rank, values[rank] if rank < count else None]
        position += 1 + count
    return [*place, keys[position]]


def spread(place: Place, counts: Sequence[int]) -> list[Any]:
    """Turn a place back into the values that are sorted by."""
    values: list[Any] = []
    for i, count in enumerate(counts):
        rank, value = place[2 * i], place[2 * i + 1]
        values += [rank, *(value if rank == j else None for j in range(count))]
    return [*values, place[-1]]


def behind(sorted_by: Sequence[Sorting], values: Sequence[Any]) -> Condition:
    """Hold for what comes after these values."""
    *pairs, (last, number) = zip(sorted_by, values, strict=True)
    # What is NULL in this phase is so for all that are still equal.
    firsts = [(sorting, value) for sorting, value in pairs if sorting.decides and value is not None]
    if len(firsts) == 1 and firsts[0][0].descending == last.descending:
        first, value = firsts[0]
        pair = sa.tuple_(first.value, last.value)
        bound = sa.tuple_(_literal(value, first), _literal(number, last))
        return pair < bound if last.descending else pair > bound
    condition = _beyond(last, number)
    for sorting, value in reversed(firsts):
        equal = sorting.value == _literal(value, sorting)
        condition = sa.or_(_beyond(sorting, value), sa.and_(equal, condition))
    first, value = firsts[0] if firsts else (last, number)
    return sa.and_(_not_before(first, value), condition)


def _beyond(sorting: Sorting, value: Any) -> Condition:
    bound = _literal(value, sorting)
    return sorting.value < bound if sorting.descending else sorting.value > bound


def _not_before(sorting: Sorting, value: Any) -> Condition:
    """Bound the leading value plainly: planners make no use of an index for an OR."""
    bound = _literal(value, sorting)
    return sorting.value <= bound if sorting.descending else sorting.value >= bound


def _literal(value: Any, sorting: Sorting) -> sa.ColumnElement[Any]:
    return sa.literal(value, sorting.value.type)


def pack_token(search: object, place: Place) -> str:
    """Make the token of the page behind a place."""
    text = json.dumps([_digest(search), *place])
    return base64.urlsafe_b64encode(text.encode()).decode()


def unpack_token(search: object, token: str, terms: int) -> Place:
    """Give the place that a token holds.

    Raises:
        FilterError: It is no token, or one of another search.
    """
    try:
        digest, *place = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError):
        raise FilterError("The page token is none; use the `next_page_token` of the page before.") from None
    if digest != _digest(search) or len(place) != 2 * terms + 1:
        raise FilterError(
            "The page token belongs to another search; repeat the search that it came from, with the same filter,"
            " experiments and order."
        )
    return place


def _digest(search: object) -> str:
    return hashlib.sha256(repr(search).encode()).hexdigest()[:16]
