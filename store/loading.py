"""From rows to `Run` objects: few statements for a page, and few steps of Python for a value."""

from __future__ import annotations

import gc
import json
import math
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import schema
from .expressions import json_object, listed
from .filters.syntax import Name
from .records import Run, Source
from .rows import among, raw_rows
from .runs import LOST_AFTER_MS

__all__ = ["COLUMNS", "Wanted", "load_runs", "name_ids"]

_r = schema.runs.c
_s = schema.series.c
COLUMNS: tuple[sa.ColumnElement[Any], ...] = (
    _r.seq, _r.attempt, _r.heartbeat_at, _r.experiment_id, sa.cast(_r.source, sa.Text).label("source"),
    _r.id, _r.name, _r.status, _r.parent_id, _r.user, _r.started_at, _r.ended_at, _r.artifact_uri,
    _r.flow_run_id, _r.task_run_id,
)  # fmt: skip
"""What `load_runs` wants of each run."""
_GROUPS: dict[str, tuple[sa.Table, sa.ColumnElement[Any]]] = {
    "params": (schema.params, schema.params.c.value),
    "metrics": (schema.series, schema.series.c.last),
    "tags": (schema.tags, schema.tags.c.value),
}
_AT_ONCE = 50
_FEW_RUNS = 100
_NAN = "NaN"  # PostgreSQL reads it as the number, SQLite keeps the text


class _Values(dict[int, dict[str, Any]]):
    """What runs have, by their numbers; a run that has nothing gets an empty dict of its own."""

    def __missing__(self, seq: int) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Wanted:
    """Which params, metrics and tags to read: all of them, or those that are named.

    Attributes:
        names: What is named.
        ids: Id of each of these names that the store knows.
    """

    names: tuple[Name, ...] | None
    ids: Mapping[str, int]

    def columns(self) -> tuple[sa.ColumnElement[Any], ...]:
        """Give `COLUMNS`; the source, which is long, only if it is wanted."""
        if self.names is None or any(name.group == "source" for name in self.names):
            return COLUMNS
        nothing = sa.literal_column("'{}'", sa.Text()).label("source")
        return tuple(nothing if column.name == "source" else column for column in COLUMNS)

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


def load_runs(
    connection: Connection, rows: Sequence[Sequence[Any]], experiments: Mapping[int, str], now: int, wanted: Wanted
) -> list[Run]:
    """Make runs of rows that begin with `COLUMNS`.

    Args:
        connection: Where the params, metrics and tags are read.
        rows: The rows, in the order of the answer.
        experiments: Name of each experiment by its id.
        now: The database's time, in milliseconds since 1970.
        wanted: What to read.
    """
    with _no_collection():
        return _load(connection, rows, experiments, now, wanted)


@contextmanager
def _no_collection() -> Generator[None]:
    """Keep the garbage collector from looking again and again at many new objects, none of which is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load(
    connection: Connection, rows: Sequence[Sequence[Any]], experiments: Mapping[int, str], now: int, wanted: Wanted
) -> list[Run]:
    attempts: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        attempts[row[1]].append(row[0])
    read = _read_all if wanted.names is None else _read_named
    params, metrics, tags = read(connection, attempts, wanted)
    sources, moment = _Sources(), datetime.fromtimestamp
    lost = now - LOST_AFTER_MS
    made: list[Run] = []
    for (
        seq,
        attempt,
        beat,
        experiment,
        source,
        id_,
        name,
        status,
        parent,
        user,
        begun,
        ended,
        uri,
        flow,
        task,
        *_,
    ) in rows:
        fields = {
            "id": id_,
            "name": name,
            "experiment": experiments[experiment],
            "status": "Crashed" if status == "Running" and beat < lost else status,
            "attempt": attempt,
            "parent_id": parent,
            "params": params[seq],
            "metrics": metrics[seq],
            "tags": tags[seq],
            "user": user,
            "started_at": moment(begun / 1000, timezone.utc),
            "ended_at": None if ended is None else moment(ended / 1000, timezone.utc),
            "artifact_uri": uri,
            "source": sources[source],
            "flow_run_id": flow,
            "task_run_id": task,
        }
        made.append(Run.of_fields(fields))
    return made


class _Sources(dict[str, Source]):
    """Most runs of a page have the same source."""

    def __missing__(self, text: str) -> Source:
        self[text] = made = Source(**json.loads(text))
        return made


def _read_all(connection: Connection, attempts: Mapping[int, list[int]], _: Wanted) -> list[_Values]:
    """Read every param, metric and tag."""
    params, metrics, tags = _Values(), _Values(), _Values()
    for attempt, seqs in attempts.items():
        params.update(_texts(connection, schema.params, attempt, seqs))
        metrics.update(_numbers(connection, attempt, seqs))
        tags.update(_texts(connection, schema.tags, None, seqs))
    return [params, metrics, tags]


def _texts(connection: Connection, table: sa.Table, attempt: int | None, seqs: list[int]) -> dict[int, dict[str, str]]:
    """Read texts as one JSON object for each run, because rows are what costs."""
    together = json_object(connection, schema.names.c.name, table.c.value)
    query = sa.select(table.c.run_seq, together).join_from(table, schema.names)
    query = query.where(among(connection, table.c.run_seq, seqs)).group_by(table.c.run_seq)
    if attempt is not None:
        query = query.where(table.c.attempt == attempt)
    return {seq: orjson.loads(text) for seq, text in raw_rows(connection, query)}


def _numbers(connection: Connection, attempt: int, seqs: list[int]) -> dict[int, dict[str, float]]:
    """Read the last values of metrics: as one row for each run that has just what the first has, as most have."""
    names = _metrics_of(connection, attempt, seqs[0])
    found: dict[int, dict[str, float]] = {}
    if len(seqs) > _FEW_RUNS and 0 < len(names) <= _AT_ONCE:
        columns = (sa.func.max(_s.last).filter(_s.name_id == sa.literal_column(str(id_))) for id_ in names)
        query = sa.select(_s.run_seq, sa.func.count(), *columns).group_by(_s.run_seq)
        labels = list(names.values())
        for seq, count, *values in raw_rows(connection, _of_attempt(connection, query, attempt, seqs)):
            if count == len(labels) and None not in values:
                found[seq] = dict(zip(labels, values, strict=True))
        seqs = [seq for seq in seqs if seq not in found]
    return {**found, **_numbers_by_row(connection, attempt, seqs)} if seqs else found


def _numbers_by_row(connection: Connection, attempt: int, seqs: list[int]) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = defaultdict(dict)
    query = sa.select(_s.run_seq, schema.names.c.name, _s.last).join_from(schema.series, schema.names)
    for seq, name, last in raw_rows(connection, _of_attempt(connection, query, attempt, seqs)):
        found[seq][name] = math.nan if last is None else last
    return found


def _metrics_of(connection: Connection, attempt: int, seq: int) -> dict[int, str]:
    query = sa.select(_s.name_id, schema.names.c.name).join_from(schema.series, schema.names)
    found = connection.execute(query.where(_s.run_seq == seq, _s.attempt == attempt))
    return dict(found.tuples().all())


def _of_attempt(connection: Connection, query: sa.Select[Any], attempt: int, seqs: list[int]) -> sa.Select[Any]:
    return query.where(among(connection, _s.run_seq, seqs), _s.attempt == attempt)


def _read_named(connection: Connection, attempts: Mapping[int, list[int]], wanted: Wanted) -> list[_Values]:
    """Read what is named: a row for each run, because rows are what costs."""
    answers: list[_Values] = []
    for group in _GROUPS:
        found = _Values()
        labels = wanted.of(group)
        for attempt, seqs in attempts.items():
            for start in range(0, len(labels), _AT_ONCE):
                some = labels[start : start + _AT_ONCE]
                number = listed(connection, seqs)
                query = sa.select(
                    number, *(_of_name(number, attempt, group, id_, statistic) for _, id_, statistic in some)
                )
                rows = raw_rows(connection, query)
                _fill(found, [label for label, *_ in some], rows, nan=_NAN if group == "metrics" else None)
        answers.append(found)
    return answers


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


def _fill(found: _Values, labels: list[str], rows: Sequence[Any], *, nan: str | None) -> None:
    for seq, *values in rows:
        mine = dict(zip(labels, values, strict=True))
        if None in values or (nan and nan in values):
            mine = {label: math.nan if one == nan else one for label, one in mine.items() if one is not None}
        found[seq] = {**found[seq], **mine} if seq in found else mine
