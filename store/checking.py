"""Looking for what does not fit in a store: rows that contradict each other, and artifacts that are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import ArtifactError
from ..settings import storage_options
from . import schema
from .artifacts.paths import shown
from .artifacts.reading import survey
from .codec import decode
from .engine import Store, current_store
from .summaries import read_summaries
from .values import Wanted, read_each
from .waiting import waiting_journals
from .writers import flush_pending

__all__ = ["Problem", "check_store"]

Say = Callable[[str], object]
_T = TypeVar("_T")
_SAY_SECONDS = 2.0
_AT_ONCE = 1000
_r = schema.runs.c
_s = schema.series.c
_g = schema.segments.c


@dataclass(frozen=True)
class Problem:
    """Something in a store that does not fit.

    Attributes:
        kind: database, run, series, artifact or journal.
        what: What it is about.
        message: What is wrong, and what to do.
    """

    kind: str
    what: str
    message: str


def check_store(*, artifacts: bool = True, store: Store | None = None, say: Say = lambda _: None) -> list[Problem]:
    """Look through a store and give what does not fit; an empty list is good news.

    Args:
        artifacts: Look also whether the artifacts of logged and registered models are there.
        store: Another store than the one that the settings name.
        say: Told now and then how far the check is.
    """
    store = current_store(store)
    flush_pending(store)
    say("Looking through the rows of the database")
    with store.read() as connection:
        found = [*_database(connection), *_runs(connection), *_series(connection), *_segments(connection, say)]
        found += _summaries(connection)
        models = _models(connection) if artifacts else {}
    told = _told(models.items(), len(models), "models", say)
    found += [problem for uri, what in told if (problem := _artifact(store, uri, what))]
    return [*found, *_journals(store)]


def _database(connection: Connection) -> Iterator[Problem]:
    if connection.dialect.name != "sqlite":
        return  # PostgreSQL holds its references and pages itself
    for (verdict,) in connection.exec_driver_sql("PRAGMA integrity_check(20)").all():
        if verdict != "ok":
            yield Problem("database", "store.db", f"{verdict}; restore a backup")
    for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check").all():
        yield Problem("database", table, f"row {row} refers to nothing in {parent}; restore a backup")


def _runs(connection: Connection) -> Iterator[Problem]:
    attempt = schema.attempts.c
    there = sa.exists().where(attempt.run_seq == _r.seq, attempt.number == _r.attempt)
    for run_id, number in connection.execute(sa.select(_r.id, _r.attempt).where(sa.not_(there))):
        yield Problem("run", run_id, f"its attempt {number} is not recorded; log it again or delete it")


def _series(connection: Connection) -> Iterator[Problem]:
    key = (_g.run_seq == _s.run_seq, _g.attempt == _s.attempt, _g.name_id == _s.name_id)
    points = sa.func.coalesce(sa.select(sa.func.sum(_g.count)).where(*key).scalar_subquery(), 0)
    query = (
        sa.select(_r.id, schema.names.c.name, _s.attempt, _s.count, points.label("points"))
        .join_from(schema.series, schema.runs, _r.seq == _s.run_seq)
        .join(schema.names, schema.names.c.id == _s.name_id)
        .where(_s.count != points)
    )
    for run_id, name, attempt, count, there in connection.execute(query):
        message = f"{name!r} of attempt {attempt} should have {count:,} points and has {there:,}; restore a backup"
        yield Problem("series", run_id, message)


def _segments(connection: Connection, say: Say) -> Iterator[Problem]:
    total = connection.execute(sa.select(sa.func.count()).select_from(schema.segments)).scalar_one()
    query = sa.select(_r.id, _g.count, _g.data).join_from(schema.segments, schema.runs, _r.seq == _g.run_seq)
    rows = connection.execute(query.execution_options(yield_per=200))
    for run_id, count, data in _told(rows, total, "segments of metrics", say):
        try:
            there = len(decode(bytes(data)))
        except Exception as error:  # noqa: BLE001 - damaged bytes fail in every way that decoding can
            yield Problem("series", run_id, f"a segment of metrics cannot be read ({error}); restore a backup")
            continue
        if there != count:
            yield Problem("series", run_id, f"a segment should have {count:,} points and has {there:,}")


def _summaries(connection: Connection) -> Iterator[Problem]:
    query = sa.select(_r.seq, _r.attempt, _r.id).join_from(schema.summaries, schema.runs).order_by(_r.seq)
    for some in connection.execute(query.execution_options(yield_per=_AT_ONCE)).partitions():
        runs = {seq: attempt for seq, attempt, _ in some}
        shown, there = read_summaries(connection, runs), read_each(connection, runs, Wanted(None, {}))
        for seq, _, run_id in some:
            if seq in shown and shown[seq] != there[seq]:  # a run that is resumed meanwhile has none any more
                yield Problem("run", run_id, "lists show other values than it has; resume it and end it once more")


def _models(connection: Connection) -> dict[str, str]:
    logged, version = schema.logged_models.c, schema.model_versions.c
    found = {
        uri: f"{run}/{path}" for uri, run, path in connection.execute(sa.select(logged.uri, logged.run_id, logged.path))
    }
    query = sa.select(version.uri, version.name, version.version)
    return found | {uri: f"{name} {number}" for uri, name, number in connection.execute(query)}


def _artifact(store: Store, uri: str, what: str) -> Problem | None:
    try:
        seen = survey(uri, root=uri, options=storage_options(uri, settings=store.settings))
    except ArtifactError as error:
        return Problem("artifact", what, str(error))
    if seen.missing:
        return Problem("artifact", what, f"{seen.missing[0]!r} is gone from {shown(uri)}; log the model again")
    if not seen.exists:
        return Problem("artifact", what, f"there is nothing at {shown(uri)}; log the model again")
    return None


def _journals(store: Store) -> Iterator[Problem]:
    """Find what processes on this machine have left that nobody could read, or that the database does not take."""
    for path in sorted(store.settings.journal.glob("*.unreadable")):
        message = "a process has died and left it, and it cannot be read; recover it with the version that wrote it"
        yield Problem("journal", path.name, message)
    for one in waiting_journals(store):
        writes = f"{one.writes:,} {'write' if one.writes == 1 else 'writes'} of process {one.pid}"
        if one.lives:
            message = f"{writes}, which lives, have not come into the database for seconds; see what that process says"
        else:
            message = f"{writes}, which has died, wait for the database; run `prefect-ml store recover`"
        yield Problem("journal", one.name, message)


def _told(items: Iterable[_T], total: int, what: str, say: Say) -> Iterator[_T]:
    """Give the items, and say now and then how many were given."""
    said = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - said > _SAY_SECONDS:
            said = time.monotonic()
            say(f"{number:,} of {total:,} {what}")
