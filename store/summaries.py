"""What runs that have ended show, in one row each: a long list would gather every value from a row of its own.

The rows of params, series and tags are the truth, and a summary repeats them or is not there. Whoever writes to a run
ends with `refresh_summaries`: the lock that it takes makes the last of several writers see what the others have
written. A run that is open has no summary.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import schema
from .rows import among, raw_rows
from .upsert import upsert

__all__ = ["drop_summary", "read_summaries", "refresh_summaries"]

_MOST_VALUES = 200  # with more, reading what was asked for costs less than reading all
_MOST_BYTES = 16_384
_r, _t = schema.runs.c, schema.summaries.c
_NAME = schema.names.c.name
_SEQ, _OF = sa.bindparam("seq", type_=sa.BigInteger()), sa.bindparam("attempt", type_=sa.BigInteger())
_NO_TEXT, _NO_NUMBER = sa.cast(sa.null(), sa.Text()), sa.cast(sa.null(), sa.Float())
_LOCK = sa.select(_r.seq, _r.attempt, _r.status).order_by(_r.seq).with_for_update(key_share=True)


def _part(place: int, table: sa.Table, text: sa.ColumnElement[Any], number: sa.ColumnElement[Any]) -> sa.Select[Any]:
    query: sa.Select[Any] = sa.select(sa.literal_column(str(place), sa.Integer()), _NAME, text, number).join_from(
        table, schema.names
    )
    query = query.where(table.c.run_seq == _SEQ)
    return query.where(table.c.attempt == _OF) if "attempt" in table.c else query


_VALUES = sa.union_all(
    _part(0, schema.params, schema.params.c.value, _NO_NUMBER),
    _part(1, schema.series, _NO_TEXT, schema.series.c.last),
    _part(2, schema.tags, schema.tags.c.value, _NO_NUMBER),
).limit(_MOST_VALUES + 1)


def refresh_summaries(connection: Connection, run_ids: Iterable[str]) -> None:
    """Write anew what those of some runs show that have ended; the transaction has written to them before."""
    for seq, attempt, status in connection.execute(_LOCK.where(_r.id.in_(sorted(run_ids)))).all():
        if status == "Running":
            continue
        if content := _content(connection, seq, attempt):
            upsert(connection, schema.summaries, {"run_seq": seq}, {"content": content})
        else:
            drop_summary(connection, seq)


def drop_summary(connection: Connection, seq: int) -> None:
    """Remove the summary of a run that is open again."""
    connection.execute(sa.delete(schema.summaries).where(_t.run_seq == seq))


def read_summaries(connection: Connection, seqs: Collection[int]) -> dict[int, list[dict[str, Any]]]:
    """Give params, metrics and tags of those runs that have a summary, by their numbers."""
    query = sa.select(_t.run_seq, _t.content).where(among(connection, _t.run_seq, seqs))
    loads = orjson.loads
    return {seq: loads(content) for seq, content in raw_rows(connection, query)}


def _content(connection: Connection, seq: int, attempt: int) -> str | None:
    """Give what a run shows as JSON; None if it is much, or holds a number that JSON does not know."""
    found: list[dict[str, Any]] = [{}, {}, {}]
    rows = connection.execute(_VALUES, {"seq": seq, "attempt": attempt}).all()
    for place, name, text, number in rows:
        if place == 1 and not (number is not None and math.isfinite(number)):
            return None
        found[place][name] = number if place == 1 else text
    packed = orjson.dumps(found)
    return packed.decode() if len(rows) <= _MOST_VALUES and len(packed) <= _MOST_BYTES else None
