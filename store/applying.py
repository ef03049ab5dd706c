"""Bringing what a journal holds into the database, each write once.

Together with the writes, their transaction moves the journal's mark in the database: it says how much of the journal
has been applied, also to a process that never got the answer to its commit, or that finds the journal of a dead one.

A write that the database would refuse for ever must not hold up those behind it. Where a transaction fails for such a
reason, it is done again piece by piece; the pieces that fail are left out, and the log says which.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from ..errors import ParamConflict, StoreError
from . import schema
from .clock import now_ms
from .engine import Store
from .entries import SHOWN, apply_entry, names_in
from .interning import Ids
from .journal import START, Batch, Entry
from .series import Tails, append_points
from .summaries import refresh_summaries
from .upsert import insert_new

__all__ = ["Applied", "apply_batch", "forget_mark", "mark_of"]

_DEADLOCKS = 5  # how often a transaction is tried again at once, because others stood in its way
_j = schema.journals.c
_MOVE = (
    sa.update(schema.journals)
    .where(_j.id == sa.bindparam("journal"), _j.applied == sa.bindparam("start"))
    .values(applied=sa.bindparam("end"), updated_at=now_ms())
)
_log = logging.getLogger("prefect_ml")


@dataclass
class Applied:
    """How a batch was applied.

    Attributes:
        end: Where the journal's mark stands now.
        tails: The small last segments of the series.
        conflicts: Params that were refused, by the offset of their entry.
    """

    end: int
    tails: Tails
    conflicts: dict[int, ParamConflict] = field(default_factory=dict[int, ParamConflict])


def apply_batch(store: Store, journal: str, batch: Batch, start: int, end: int, tails: Tails) -> Applied:
    """Apply what a journal holds between two offsets.

    Args:
        store: The store.
        journal: Id of the journal file.
        batch: What it holds between `start` and `end`.
        start: Where this process believes the mark to stand.
        end: Where it stands afterwards. If it stood beyond `start` already, nothing is applied.
        tails: The small last segments that this process may write anew.

    Raises:
        StoreError: The database is away, or refuses everything; nothing was applied.
    """
    for _ in range(_DEADLOCKS):
        with contextlib.suppress(_Deadlock):
            return _apply(store, journal, batch, start, end, tails)
    return _in_one(store, journal, batch, start, end, tails)


def mark_of(connection: Connection, journal: str) -> int:
    """Give how much of a journal is in the database, and keep others from moving the mark meanwhile."""
    insert_new(connection, schema.journals, {"id": journal, "applied": START, "updated_at": now_ms()})
    return int(connection.execute(sa.select(_j.applied).where(_j.id == journal).with_for_update()).scalar_one())


def forget_mark(store: Store, journal: str) -> None:
    """Remove the mark of a journal that is no more."""
    with store.write() as connection:
        connection.execute(sa.delete(schema.journals).where(_j.id == journal))


class _Deadlock(Exception):
    """Writers stood in each other's way, and the database has undone ours."""


def _apply(store: Store, journal: str, batch: Batch, start: int, end: int, tails: Tails) -> Applied:
    try:
        return _in_one(store, journal, batch, start, end, tails)
    except Exception as error:
        if _sqlstate(error) in ("40P01", "40001"):
            raise _Deadlock from error
        if not _lasts(error):
            raise
    # Ids that were remembered may be those of runs that somebody has removed.
    store.ids.clear()
    return _in_one(store, journal, batch, start, end, tails, piecewise=True)


def _in_one(
    store: Store, journal: str, batch: Batch, start: int, end: int, tails: Tails, *, piecewise: bool = False
) -> Applied:
    with store.write() as connection:
        ids = store.ids.within(connection)
        if not _move_mark(connection, journal, start, end):
            mark = mark_of(connection, journal)
            if mark > start:  # the answer to an earlier commit was lost; `batch` begins too early
                return Applied(mark, Tails())
            _set_mark(connection, journal, end)
        if piecewise:
            applied = _pieces(connection, store, batch, end, tails)
        else:
            applied = _whole(connection, ids, batch, end, tails)
        refresh_summaries(connection, _written(batch))
    ids.keep()
    return applied


def _written(batch: Batch) -> set[str]:
    """Give the ids of the runs that show something else afterwards."""
    entries = (entry["run"] for _, entry in batch.entries if entry["do"] in SHOWN)
    return {key.run_id for key in batch.points}.union(entries)


def _whole(connection: Connection, ids: Ids, batch: Batch, end: int, tails: Tails) -> Applied:
    # All names at once and in one order, so that writers do not wait for each other in a circle.
    ids.names({key.name for key in batch.points}.union(*(names_in(entry) for _, entry in batch.entries)))
    applied = Applied(end, append_points(connection, ids, batch.points, tails))
    for offset, entry in batch.entries:
        if conflict := apply_entry(connection, ids, entry):
            applied.conflicts[offset] = conflict
    return applied


def _pieces(connection: Connection, store: Store, batch: Batch, end: int, tails: Tails) -> Applied:
    applied = Applied(end, tails)
    for key, points in batch.points.items():
        with _left_out(connection, f"{len(points)} points of metric {key.name!r} of run {key.run_id}"):
            # Ids of their own: what a piece that fails has interned is undone with it.
            applied.tails = append_points(connection, store.ids.within(connection), {key: points}, applied.tails)
    for offset, entry in batch.entries:
        with _left_out(connection, _described(entry)):
            if conflict := apply_entry(connection, store.ids.within(connection), entry):
                applied.conflicts[offset] = conflict
    return applied


@contextlib.contextmanager
def _left_out(connection: Connection, what: str) -> Generator[None]:
    try:
        with connection.begin_nested():
            yield
    except Exception as error:
        if not _lasts(error):
            raise
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        _log.error("The store refuses %s, so it is left out: %s", what, reason[0] if reason else type(error).__name__)


def _described(entry: Entry) -> str:
    names = ", ".join(repr(name) for name in sorted(names_in(entry)))
    return f"a write of the kind {entry.get('do')!r}{f' ({names})' if names else ''} of run {entry.get('run')}"


def _lasts(error: Exception) -> bool:
    """Whether the same write would fail the same way tomorrow."""
    cause = error.__cause__ if isinstance(error, StoreError) else error
    if isinstance(cause, DBAPIError):
        too_much = (_sqlstate(cause) or "").startswith("54")  # beyond a limit of PostgreSQL
        return too_much or isinstance(cause, (DataError, IntegrityError))
    if isinstance(cause, SQLAlchemyError):
        return type(cause) is StatementError
    return isinstance(cause, (ValueError, TypeError, LookupError, ArithmeticError))


def _sqlstate(error: BaseException | None) -> str | None:
    cause = error.__cause__ if isinstance(error, StoreError) else error
    return getattr(getattr(cause, "orig", None), "sqlstate", None)


def _move_mark(connection: Connection, journal: str, start: int, end: int) -> bool:
    """Move the mark from `start` to `end`; False where it does not stand there."""
    row = {"id": journal, "applied": end, "updated_at": now_ms()}
    if start == START and insert_new(connection, schema.journals, row):
        return True
    return connection.execute(_MOVE, {"journal": journal, "start": start, "end": end}).rowcount > 0


def _set_mark(connection: Connection, journal: str, end: int) -> None:
    connection.execute(sa.update(schema.journals).where(_j.id == journal).values(applied=end, updated_at=now_ms()))
