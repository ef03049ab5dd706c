"""From rows to `Run` objects, with few steps of Python for each."""

from __future__ import annotations

import gc
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import schema
from .records import Run, Source
from .runs import LOST_AFTER_MS
from .values import Wanted, read_values

__all__ = ["columns_of", "load_runs"]

_r = schema.runs.c
_COLUMNS: tuple[sa.ColumnElement[Any], ...] = (
    _r.seq, _r.attempt, _r.heartbeat_at, _r.experiment_id, sa.cast(_r.source, sa.Text).label("source"),
    _r.id, _r.name, _r.status, _r.parent_id, _r.user, _r.started_at, _r.ended_at, _r.artifact_uri,
    _r.flow_run_id, _r.task_run_id,
)  # fmt: skip
_NO_SOURCE = tuple(
    sa.literal_column("'{}'", sa.Text()).label("source") if column.name == "source" else column for column in _COLUMNS
)


def columns_of(wanted: Wanted) -> tuple[sa.ColumnElement[Any], ...]:
    """Give the columns that `load_runs` wants of each run."""
    return _COLUMNS if wanted.source else _NO_SOURCE


def load_runs(
    connection: Connection, rows: Sequence[Sequence[Any]], experiments: Mapping[int, str], now: int, wanted: Wanted
) -> list[Run]:
    """Make runs of rows that begin with `columns_of(wanted)`.

    Args:
        connection: Where the params, metrics and tags are read.
        rows: The rows, in the order of the answer.
        experiments: Name of each experiment by its id.
        now: The database's time, in milliseconds since 1970.
        wanted: What to read.
    """
    with _no_collection():
        values = read_values(connection, {row[0]: row[1] for row in rows}, wanted)
        return _made(rows, values, experiments, now - LOST_AFTER_MS)


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


def _made(rows: Sequence[Any], values: Mapping[int, Any], experiments: Mapping[int, str], lost: int) -> list[Run]:
    sources, moment, utc = _Sources(), datetime.fromtimestamp, timezone.utc
    made: list[Run] = []
    for (
        seq, attempt, beat, experiment, source, id_, name, status, parent, user, begun, ended, uri, flow, task, *_,
    ) in rows:  # fmt: skip
        params, metrics, tags = values[seq]
        fields = {
            "id": id_,
            "name": name,
            "experiment": experiments[experiment],
            "status": "Crashed" if status == "Running" and beat < lost else status,
            "attempt": attempt,
            "parent_id": parent,
            "params": params,
            "metrics": metrics,
            "tags": tags,
            "user": user,
            "started_at": moment(begun / 1000, utc),
            "ended_at": None if ended is None else moment(ended / 1000, utc),
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
