"""Copying a store into another one: a laptop's SQLite and files into the team's PostgreSQL and S3, for instance.

A few runs at a time go over: first their artifacts, then all their rows in one transaction. So a run that the target
has is there as a whole, and a copy that was stopped goes on where it was. Ids stay; the numbers that stand for names,
experiments and runs inside a database are those of the target.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import BadTarget, StoreError
from . import schema
from .clock import now_ms
from .copying_artifacts import ArtifactCopy
from .copying_models import check_models, compare_models, copy_models
from .engine import Store
from .expressions import is_among
from .runs import LOST_AFTER_MS
from .upsert import insert_all_new, insert_new, upsert_all
from .writers import recover

__all__ = ["CopyReport", "copy_rows", "copy_store", "snapshot"]

Say = Callable[[str], object]
_AT_ONCE = 200
_SAY_SECONDS = 2.0
_ROWS_AT_ONCE = 1000
_OF_RUNS = (
    schema.attempts, schema.params, schema.tags, schema.series, schema.segments, schema.run_datasets, schema.summaries,
)  # fmt: skip
_PROGRESS = (
    "status", "attempt", "parent_attempt", "superseded", "ended_at", "heartbeat_at", "artifact_uri", "source",
    "environment",
)  # fmt: skip
_r = schema.runs.c
_UPDATE = (
    sa.update(schema.runs)
    .where(_r.id == sa.bindparam("new_id"))
    .values({name: sa.bindparam(f"new_{name}", type_=_r[name].type) for name in _PROGRESS})
)


@dataclass(frozen=True)
class CopyReport:
    """What a copy has found and done.

    Attributes:
        runs: Runs that were brought over.
        there: Runs that the target had already.
        files: Artifacts that were brought over.
        running: Runs of the source that were running, of which more may come.
        rows: Rows of each table that belong to the other runs of the source, the same on both sides.
    """

    runs: int
    there: int
    files: int
    running: int
    rows: Mapping[str, int]


@dataclass
class _Numbers:
    """What the numbers of the source are in the target."""

    names: dict[int, int] = field(default_factory=dict[int, int])
    experiments: dict[int, int] = field(default_factory=dict[int, int])
    datasets: dict[int, int] = field(default_factory=dict[int, int])


def copy_store(source: Store, target: Store, *, artifacts: bool = True, say: Say = lambda _: None) -> CopyReport:
    """Copy everything of a store into another one, which may have runs of its own. Doing so twice adds nothing.

    A run that was running when it was copied is brought up to date by the next copy. Endpoints stay with the store
    whose agent serves them.

    Args:
        source: The store to copy.
        target: Where to.
        artifacts: Copy what lies below the artifact root, too; otherwise the copied runs refer to where it lies.
        say: Told now and then how far the copy is.

    Raises:
        BadTarget: The two are one.
        StoreError: They have different models under one name, a database failed, or the counts differ in the end.
        ArtifactError: Artifacts cannot be read or written.
    """
    if source.engine.url == target.engine.url:
        raise BadTarget(f"{source.url} cannot be copied into itself; name another store.")
    recover(source)
    carrier = ArtifactCopy(source.settings, target.settings) if artifacts else None
    with snapshot(source) as connection:
        report = copy_rows(connection, target, carrier, say=say)
    target.ids.clear()
    return report


@contextmanager
def snapshot(store: Store) -> Generator[Connection]:
    """Open a connection that sees one moment for as long as it is open."""
    with store.read() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        yield connection


def copy_rows(source: Connection, target: Store, carrier: ArtifactCopy | None, *, say: Say) -> CopyReport:
    """Copy everything that one connection sees."""
    with target.read() as there:
        check_models(source, there)
    numbers = _copy_shared(source, target)
    total = int(source.execute(sa.select(sa.func.count()).select_from(schema.runs)).scalar_one())
    copied = seen = 0
    said = time.monotonic()
    for batch in _batches(source):
        wanted = _missing(source, target, batch)
        if carrier:
            carrier.copy_runs(source, wanted)
        _copy_batch(source, target, wanted, numbers, carrier)
        copied, seen = copied + len(wanted), seen + len(batch)
        if seen >= total or time.monotonic() - said > _SAY_SECONDS:
            said = time.monotonic()
            say(f"{seen:,} of {total:,} runs, {copied:,} of them copied now, {carrier.files if carrier else 0:,} files")
    _link_parents(source, target)
    copy_models(source, target, carrier)
    files = carrier.files if carrier else 0
    running = _running(source)
    return CopyReport(copied, total - copied, files, len(running), _compare(source, target, running))


def _copy_shared(source: Connection, target: Store) -> _Numbers:
    """Bring over what runs refer to, and find its numbers in the target."""
    numbers = _Numbers()
    with target.write() as there:
        for rows in _pages(source, schema.environments):
            insert_all_new(there, schema.environments, rows)
        numbers.names = _match(source, there, schema.names, ("name",))
        numbers.datasets = _match(source, there, schema.datasets, ("name", "digest"))
        numbers.experiments = _match_experiments(source, there)
    return numbers


def _match(source: Connection, there: Connection, table: sa.Table, key: tuple[str, ...]) -> dict[int, int]:
    """Insert what the target lacks, by its key, and give the number there of each number here."""
    mine: dict[tuple[Any, ...], int] = {}
    for rows in _pages(source, table):
        mine.update({tuple(row[name] for name in key): row["id"] for row in rows})
        insert_all_new(there, table, [{name: value for name, value in row.items() if name != "id"} for row in rows])
    found: dict[int, int] = {}
    for row in there.execute(sa.select(table.c.id, *(table.c[name] for name in key))):
        if (number := mine.get(tuple(row[1:]))) is not None:
            found[number] = row.id
    return found


def _match_experiments(source: Connection, there: Connection) -> dict[int, int]:
    """Match those that are not deleted by name, and deleted ones by name and times."""
    table = schema.experiments
    found: dict[int, int] = {}
    for row in source.execute(sa.select(table)).mappings().all():
        same = [table.c.name == row["name"], table.c.deleted_at.is_not_distinct_from(row["deleted_at"])]
        if row["deleted_at"] is not None:
            same.append(table.c.created_at == row["created_at"])
        query = sa.select(table.c.id).where(*same).limit(1)
        number = there.execute(query).scalar()
        if number is None:
            insert_new(there, table, {name: value for name, value in row.items() if name != "id"})
            number = there.execute(query).scalar_one()
        found[row["id"]] = number
    return found


def _batches(source: Connection) -> Iterator[list[dict[str, Any]]]:
    last = -1
    while True:
        query = sa.select(schema.runs).where(_r.seq > last).order_by(_r.seq).limit(_AT_ONCE)
        rows = [dict(row) for row in source.execute(query).mappings()]
        if not rows:
            return
        yield rows
        last = rows[-1]["seq"]


def _missing(source: Connection, target: Store, batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the runs of which the target has all; it may have more, such as tags that were set there."""
    ids = [row["id"] for row in batch]
    with target.read() as there:
        theirs, tags = _extents(there, ids), _tags(there, ids)
    mine = _extents(source, ids)
    lacking = {run_id for run_id, *_ in _tags(source, ids) - tags}
    return [
        row
        for row in batch
        if row["id"] not in theirs or row["id"] in lacking or _is_less(theirs[row["id"]], mine[row["id"]])
    ]


def _tags(connection: Connection, run_ids: Sequence[str]) -> set[tuple[str, str, str]]:
    tag = schema.tags.c
    query = (
        sa.select(_r.id, schema.names.c.name, tag.value)
        .join_from(schema.tags, schema.runs, _r.seq == tag.run_seq)
        .join(schema.names, schema.names.c.id == tag.name_id)
        .where(_r.id.in_(run_ids))
    )
    return {(run_id, name, value) for run_id, name, value in connection.execute(query)}


def _extents(connection: Connection, run_ids: Sequence[str]) -> dict[str, list[int]]:
    """Give for each run that is there its attempt, whether it has ended, and how much it has in each table."""
    ended = sa.case((_r.status == "Running", 0), else_=1)
    query = sa.select(_r.id, _r.seq, _r.attempt, ended, _r.source).where(_r.id.in_(run_ids))
    found: dict[str, list[int]] = {}
    ids: dict[int, str] = {}
    for run_id, seq, attempt, has_ended, source in connection.execute(query).tuples():
        ids[seq] = run_id
        found[run_id] = [attempt, has_ended, sum(value is not None for value in source.values())]
    for table in (*_OF_RUNS, schema.logged_models):
        key = table.c.run_seq if "run_seq" in table.c else table.c.run_id
        mine = is_among(connection, key, list(ids)) if "run_seq" in table.c else key.in_(run_ids)
        amount = sa.func.sum(table.c.count) if "count" in table.c else sa.func.count()
        amounts = dict(connection.execute(sa.select(key, amount).where(mine).group_by(key)).tuples().all())
        for seq, run_id in ids.items():
            found[run_id].append(int(amounts.get(seq if "run_seq" in table.c else run_id, 0)))
    return found


def _is_less(theirs: Sequence[int], mine: Sequence[int]) -> bool:
    return any(there < here for there, here in zip(theirs, mine, strict=True))


def _copy_batch(
    source: Connection,
    target: Store,
    batch: Sequence[dict[str, Any]],
    numbers: _Numbers,
    carrier: ArtifactCopy | None,
) -> None:
    if not batch:
        return
    seqs = [row["seq"] for row in batch]
    with target.write() as there:
        _forget_points(there, [row["id"] for row in batch])
        rows = [_run_row(row, numbers, carrier) for row in batch]
        insert_all_new(there, schema.runs, rows)
        # What somebody has done there stays: its experiment, and whether it was deleted.
        progress = [{f"new_{name}": row[name] for name in ("id", *_PROGRESS)} for row in rows]
        there.execute(_UPDATE, progress)
        found = there.execute(sa.select(_r.id, _r.seq).where(_r.id.in_([row["id"] for row in batch]))).tuples()
        new_seqs = dict(found.all())
        runs = {row["seq"]: new_seqs[row["id"]] for row in batch}
        for table in _OF_RUNS:
            key = tuple(column.name for column in table.primary_key.columns)
            for part in _pages(source, table, is_among(source, table.c.run_seq, seqs)):
                renumbered = [_renumbered(row, runs, numbers) for row in part]
                if table is schema.run_datasets:
                    insert_all_new(there, table, renumbered)
                else:
                    upsert_all(there, table, key, renumbered)
        logged = schema.logged_models
        for part in _pages(source, logged, logged.c.run_id.in_([row["id"] for row in batch])):
            key = tuple(column.name for column in logged.primary_key.columns)
            upsert_all(there, logged, key, [{**row, "uri": _moved(row["uri"], carrier)} for row in part])


def _forget_points(there: Connection, run_ids: Sequence[str]) -> None:
    """Remove the segments of an earlier copy: they may have been cut otherwise meanwhile."""
    seqs = there.execute(sa.select(_r.seq).where(_r.id.in_(run_ids))).scalars().all()
    if seqs:
        there.execute(sa.delete(schema.segments).where(schema.segments.c.run_seq.in_(seqs)))


def _run_row(row: Mapping[str, Any], numbers: _Numbers, carrier: ArtifactCopy | None) -> dict[str, Any]:
    values = {name: value for name, value in row.items() if name != "seq"}
    changes = row["source"].get("changes")
    return {
        **values,
        "experiment_id": numbers.experiments[row["experiment_id"]],
        "parent_id": None,  # a parent may come later; they are linked when all are there
        "artifact_uri": _moved(row["artifact_uri"], carrier),
        "source": {**row["source"], "changes": changes and _moved(changes, carrier)},
    }


def _renumbered(row: Mapping[str, Any], runs: Mapping[int, int], numbers: _Numbers) -> dict[str, Any]:
    values = {**row, "run_seq": runs[row["run_seq"]]}
    if "name_id" in row:
        values["name_id"] = numbers.names[row["name_id"]]
    if "dataset_id" in row:
        values["dataset_id"] = numbers.datasets[row["dataset_id"]]
    return values


def _link_parents(source: Connection, target: Store) -> None:
    query = sa.select(_r.id, _r.parent_id).where(_r.parent_id.is_not(None))
    update = sa.update(schema.runs).where(_r.id == sa.bindparam("run"), _r.parent_id.is_(None))
    for part in source.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)).partitions():
        with target.write() as there:
            there.execute(update.values(parent_id=sa.bindparam("parent")), [{"run": a, "parent": b} for a, b in part])
    for table in (schema.results, schema.reuses):
        for rows in _pages(source, table):
            with target.write() as there:
                insert_all_new(there, table, rows)


def _moved(uri: str, carrier: ArtifactCopy | None) -> str:
    return carrier.moved(uri) if carrier else uri


def _running(source: Connection) -> set[str]:
    """Give the runs that run; those of which nothing was heard for long have ended, as everybody reads them."""
    alive = sa.and_(_r.status == "Running", _r.heartbeat_at >= now_ms() - LOST_AFTER_MS)
    return set(source.execute(sa.select(_r.id).where(alive)).scalars())


def _compare(source: Connection, target: Store, running: Collection[str]) -> dict[str, int]:
    """Count what belongs to the runs of the source on both sides, but for those that run.

    Raises:
        StoreError: It is not the same.
    """
    totals: dict[str, int] = {}
    for batch in _batches(source):
        ended = [row["id"] for row in batch if row["id"] not in running]
        with target.read() as there:
            mine, theirs = _count(source, ended), _count(there, ended)
        for name, count in mine.items():
            totals[name] = totals.get(name, 0) + count
            if theirs[name] < count:
                raise StoreError(
                    f"The copy has {theirs[name]:,} rows of {name} for runs that have {count:,} in the source;"
                    " were they changed there meanwhile? Look at both with `prefect-ml store check`."
                )
    with target.read() as there:
        return totals | compare_models(source, there)


def _count(connection: Connection, run_ids: Sequence[str]) -> dict[str, int]:
    seqs = connection.execute(sa.select(_r.seq).where(_r.id.in_(run_ids))).scalars().all()
    counts = {"runs": len(seqs)}
    for table in _OF_RUNS:
        if table is not schema.segments:
            query = sa.select(sa.func.count()).select_from(table).where(is_among(connection, table.c.run_seq, seqs))
            counts[table.name] = int(connection.execute(query).scalar_one())
    points = sa.select(sa.func.coalesce(sa.func.sum(schema.segments.c.count), 0))
    mine = is_among(connection, schema.segments.c.run_seq, seqs)
    return {**counts, "points": int(connection.execute(points.where(mine)).scalar_one())}


def _pages(
    source: Connection, table: sa.Table, *conditions: sa.ColumnElement[bool], at_once: int = _ROWS_AT_ONCE
) -> Iterator[list[dict[str, Any]]]:
    """Give the rows of a table, some at a time, in the order of its key."""
    query = sa.select(table).where(*conditions).order_by(*table.primary_key.columns)
    result = source.execute(query.execution_options(yield_per=at_once))
    for part in result.mappings().partitions(at_once):
        yield [dict(row) for row in part]
