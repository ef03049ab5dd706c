"""From rows to `Run` objects: few statements for a page, and few steps of Python for a value."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import schema
from .expressions import is_among
from .filters.syntax import Name
from .records import Run, Source, from_ms
from .runs import LOST_AFTER_MS

__all__ = ["COLUMNS", "Wanted", "load_runs", "name_ids"]

_r = schema.runs.c
COLUMNS: tuple[sa.ColumnElement[Any], ...] = (
    _r.seq, _r.attempt, _r.heartbeat_at, _r.experiment_id, sa.cast(_r.source, sa.Text).label("source"),
    _r.id, _r.name, _r.status, _r.parent_id, _r.user, _r.started_at, _r.ended_at, _r.artifact_uri,
    _r.flow_run_id, _r.task_run_id,
)  # fmt: skip
"""What `load_runs` wants of each run."""
_GROUPS = {"params": (schema.params, "value"), "metrics": (schema.series, "last"), "tags": (schema.tags, "value")}
_Values = dict[int, dict[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """Which params, metrics and tags to read: all of them, or those that are named.

    Attributes:
        names: What is named.
        ids: Id of each of these names that the store knows.
    """

    names: tuple[Name, ...] | None
    ids: Mapping[str, int]

    def labels(self, group: str) -> dict[str, dict[int, str]] | None:
        """Give, by statistic, the names of a group by id; None means all."""
        if self.names is None:
            return None
        found: dict[str, dict[int, str]] = defaultdict(dict)
        for name in self.names:
            if name.group == group and name.name in self.ids:
                label = f"{name.name}.{name.statistic}" if name.statistic else name.name
                found[name.statistic][self.ids[name.name]] = label
        return found


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
    attempts: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        attempts[row[1]].append(row[0])
    params, metrics, tags = (_annotations(connection, group, attempts, wanted) for group in _GROUPS)
    sources = _Sources()
    lost = now - LOST_AFTER_MS
    made: list[Run] = []
    for seq, attempt, beat, experiment, source, id_, name, status, parent, user, begun, ended, uri, flow, task in rows:
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
            "started_at": from_ms(begun),
            "ended_at": None if ended is None else from_ms(ended),
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


def _annotations(connection: Connection, group: str, attempts: Mapping[int, list[int]], wanted: Wanted) -> _Values:
    table, value = _GROUPS[group]
    found: _Values = defaultdict(dict)
    by_attempt = attempts if "attempt" in table.c else {None: [seq for seqs in attempts.values() for seq in seqs]}
    labels = wanted.labels(group)
    for column, names in [(value, None)] if labels is None else [(key or value, some) for key, some in labels.items()]:
        for attempt, seqs in by_attempt.items():
            rows = _read(connection, table, column, seqs, attempt, names)
            _fill(found, rows, names or _names(connection, {row[1] for row in rows}), numeric=group == "metrics")
    return found


def _read(
    connection: Connection,
    table: sa.Table,
    value: str,
    seqs: list[int],
    attempt: int | None,
    names: Mapping[int, str] | None,
) -> Sequence[Any]:
    query = sa.select(table.c.run_seq, table.c.name_id, table.c[value])
    query = query.where(is_among(connection, table.c.run_seq, seqs))
    if attempt is not None:
        query = query.where(table.c.attempt == attempt)
    if names is not None:
        query = query.where(table.c.name_id.in_(list(names)))
    return connection.execute(query).tuples().all()


def _fill(found: _Values, rows: Sequence[Any], names: Mapping[int, str], *, numeric: bool) -> None:
    if numeric:
        for seq, name_id, value in rows:
            found[seq][names[name_id]] = math.nan if value is None else value
    else:
        for seq, name_id, value in rows:
            found[seq][names[name_id]] = value


def _names(connection: Connection, ids: set[int]) -> dict[int, str]:
    table = schema.names.c
    query = sa.select(table.id, table.name).where(is_among(connection, table.id, sorted(ids)))
    return dict(connection.execute(query).tuples().all())
