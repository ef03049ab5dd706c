"""The params, metrics and tags of many runs, read with few rows: rows are what costs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import schema
from .expressions import json_object, listed
from .filters.syntax import Name
from .rows import among, raw_rows
from .summaries import read_summaries

__all__ = ["Values", "Wanted", "name_ids", "read_each", "read_values"]

Values = list[dict[str, Any]]
"""Params, metrics and tags of one run."""
_s = schema.series.c
_GROUPS: dict[str, tuple[sa.Table, sa.ColumnElement[Any]]] = {
    "params": (schema.params, schema.params.c.value),
    "metrics": (schema.series, schema.series.c.last),
    "tags": (schema.tags, schema.tags.c.value),
}
_AT_ONCE = 50
_FEW = 20
_NAN = "NaN"  # PostgreSQL reads it as the number, SQLite keeps the text


@dataclass(frozen=True)
class Wanted:
    """Which params, metrics and tags to read: all of them, or those that are named.

    Attributes:
        names: What is named.
        ids: Id of each of these names that the store knows.
    """

    names: tuple[Name, ...] | None
    ids: Mapping[str, int]

    @property
    def source(self) -> bool:
        """Whether the source, which is long, is wanted."""
        return self.names is None or any(name.group == "source" for name in self.names)

    @property
    def statistics(self) -> bool:
        """Whether more than the last values of metrics is wanted."""
        return any(name.statistic for name in self.names or ())

    def of(self, group: str) -> list[tuple[str, int, str]]:
        """Give label, id and statistic of what is named in a group."""
        return [
            (f"{name.name}.{name.statistic}" if name.statistic else name.name, self.ids[name.name], name.statistic)
            for name in self.names or ()
            if name.group == group and name.name in self.ids
        ]


def name_ids(connection: Connection, known: dict[str, int], names: Iterable[str]) -> dict[str, int]:
    """Give the id of each name that the store knows; `known` holds what was found before, and learns."""
    table = schema.names.c
    if missing := [name for name in names if name not in known]:
        query = sa.select(table.name, table.id).where(table.name.in_(missing))
        known.update(connection.execute(query).tuples().all())
    return {name: known[name] for name in names if name in known}


def read_values(connection: Connection, runs: Mapping[int, int], wanted: Wanted) -> dict[int, Values]:
    """Read what runs have.

    Args:
        connection: Where to read.
        runs: Attempt of each run, by the run's number.
        wanted: What to read.
    """
    found: dict[int, Values] = {}
    if len(runs) > _FEW and not wanted.statistics:
        found = _picked(read_summaries(connection, runs), wanted)
    rest = {seq: attempt for seq, attempt in runs.items() if seq not in found}
    return {**found, **read_each(connection, rest, wanted)} if rest else found


def read_each(connection: Connection, runs: Mapping[int, int], wanted: Wanted) -> dict[int, Values]:
    """Read what runs have from where it was written, without the summaries."""
    found: dict[int, Values] = {seq: [{}, {}, {}] for seq in runs}
    attempts: dict[int, list[int]] = defaultdict(list)
    for seq, attempt in runs.items():
        attempts[attempt].append(seq)
    read = _read_all if wanted.names is None else _read_named
    for attempt, seqs in attempts.items():
        read(connection, attempt, seqs, wanted, found)
    return found


def _picked(summaries: dict[int, Values], wanted: Wanted) -> dict[int, Values]:
    if wanted.names is None:
        return summaries
    labels = [[label for label, *_ in wanted.of(group)] for group in _GROUPS]
    return {seq: [_some(*both) for both in zip(values, labels, strict=True)] for seq, values in summaries.items()}


def _some(group: dict[str, Any], labels: list[str]) -> dict[str, Any]:
    return {label: group[label] for label in labels if label in group}


def _read_all(connection: Connection, attempt: int, seqs: list[int], _: Wanted, found: dict[int, Values]) -> None:
    """Read every param, metric and tag."""
    for place, table, of in ((0, schema.params, attempt), (2, schema.tags, None)):
        for seq, text in raw_rows(connection, _texts(connection, table, of, seqs)):
            found[seq][place].update(orjson.loads(text))
    query = sa.select(_s.run_seq, schema.names.c.name, _s.last).join_from(schema.series, schema.names)
    query = query.where(among(connection, _s.run_seq, seqs), _s.attempt == attempt)
    for seq, name, last in raw_rows(connection, query):
        found[seq][1][name] = math.nan if last is None else last


def _texts(connection: Connection, table: sa.Table, attempt: int | None, seqs: list[int]) -> sa.Select[Any]:
    """Select texts as one JSON object for each run."""
    together = json_object(connection, schema.names.c.name, table.c.value)
    query = sa.select(table.c.run_seq, together).join_from(table, schema.names)
    query = query.where(among(connection, table.c.run_seq, seqs)).group_by(table.c.run_seq)
    return query if attempt is None else query.where(table.c.attempt == attempt)


def _read_named(
    connection: Connection, attempt: int, seqs: list[int], wanted: Wanted, found: dict[int, Values]
) -> None:
    """Read what is named: a row for each run."""
    for place, group in enumerate(_GROUPS):
        labels = wanted.of(group)
        for start in range(0, len(labels), _AT_ONCE):
            some = labels[start : start + _AT_ONCE]
            number = listed(connection, seqs)
            columns = (_of_name(number, attempt, group, id_, statistic) for _, id_, statistic in some)
            rows = raw_rows(connection, sa.select(number, *columns))
            _fill(found, place, [label for label, *_ in some], rows, nan=_NAN if group == "metrics" else None)


def _of_name(
    number: sa.ColumnElement[int], attempt: int, group: str, name_id: int, statistic: str
) -> sa.ColumnElement[Any]:
    """Give the value of one name: NULL where there is none, _NAN for a NaN."""
    table, value = _GROUPS[group]
    if statistic == "count":
        value = schema.series.c["count"]
    elif "last" in table.c:
        value = sa.func.coalesce(table.c[statistic or "last"], sa.literal_column(f"'{_NAN}'", sa.Float()))
    query = sa.select(value).where(table.c.run_seq == number, table.c.name_id == sa.literal_column(str(name_id)))
    if "attempt" in table.c:
        query = query.where(table.c.attempt == attempt)
    return query.scalar_subquery()


def _fill(found: dict[int, Values], place: int, labels: list[str], rows: Sequence[Any], *, nan: str | None) -> None:
    for seq, *values in rows:
        mine = dict(zip(labels, values, strict=True))
        if None in values or (nan and nan in values):
            mine = {label: math.nan if one == nan else one for label, one in mine.items() if one is not None}
        found[seq][place].update(mine)
