"""Opening runs and keeping them alive; what is written into an open run goes through its journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import RunClosed, RunNotFound
from . import schema
from .artifacts import join
from .clock import now_ms
from .engine import Store
from .entries import write_tags
from .experiments import experiment_for
from .interning import Ids
from .records import Source
from .summaries import drop_summary
from .upsert import insert_new, insert_returning

__all__ = ["LOST_AFTER_MS", "NewRun", "OpenRun", "heartbeat", "open_run", "resume_run"]

# A run whose process has not been heard of for this long is read as Crashed.
LOST_AFTER_MS = 60_000
_r = schema.runs.c
_FIND = (
    sa.select(_r.seq, _r.attempt, _r.status, _r.artifact_uri, _r.experiment_id, _r.started_at, now_ms().label("now"))
    .where(_r.id == sa.bindparam("run"))
    .with_for_update(key_share=True)  # whoever adds to the run need not wait
)


@dataclass(frozen=True)
class NewRun:
    """What is known of a run when it opens; `fresh` says that its id was made just now, so that none has it."""

    id: str
    name: str
    experiment: str
    user: str
    parent_id: str | None = None
    parent_attempt: int | None = None
    flow_run_id: str | None = None
    task_run_id: str | None = None
    source: Source = field(default_factory=Source)
    environment: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    fresh: bool = False


@dataclass(frozen=True)
class OpenRun:
    """A run that takes writes.

    Attributes:
        opened_at: Moment of this opening by the database's clock, in milliseconds since 1970.
        joined: Whether it was open already, so that another scope or process will close it.
    """

    id: str
    attempt: int
    artifact_uri: str
    opened_at: int
    joined: bool


def open_run(store: Store, new: NewRun, *, attempt: int = 1, join_only: bool = False) -> OpenRun:
    """Open a run, open a later attempt of it, or join the attempt that is open.

    Args:
        store: Where the run is kept.
        new: The run; only its id matters where it exists already.
        attempt: Number of the attempt; a higher number than the stored one opens a new attempt.
        join_only: Refuse to make a run that does not exist.

    Raises:
        RunNotFound: `join_only`, and there is no such run.
        RunClosed: The attempt has ended, or a later one exists.
    """
    with store.write() as connection:
        ids = store.ids.within(connection)
        opened = None
        row = None if new.fresh else _find(connection, new.id)
        if row is None:
            if join_only:
                raise RunNotFound(new.id)
            opened = _insert(store, connection, ids, new, attempt)
            row = None if opened else _find(connection, new.id)  # somebody else was first
        opened = opened or _reopen(store, connection, row, new, attempt, join_only=join_only)
    ids.keep()
    return opened


def heartbeat(store: Store, run_ids: Iterable[str]) -> None:
    """Say that the processes of these runs are alive, by the database's clock."""
    ids = list(run_ids)
    # A row that somebody else has locked is being written, and so alive: waiting for it could be waiting in a circle.
    mine = sa.select(_r.seq).where(_r.id.in_(ids), _r.status == "Running")
    mine = mine.with_for_update(key_share=True, skip_locked=True)
    if ids:
        with store.write() as connection:
            connection.execute(sa.update(schema.runs).where(_r.seq.in_(mine)).values(heartbeat_at=now_ms()))


def resume_run(store: Store, run_id: str) -> OpenRun:
    """Open a run once more: its last attempt takes writes again, and whoever resumes it closes it.

    A run that reads as Running may be one whose process has died a moment ago.

    Raises:
        RunNotFound: There is no such run.
    """
    with store.write() as connection:
        row = _find(connection, run_id)
        if row is None:
            raise RunNotFound(run_id)
        again = {"status": "Running", "ended_at": None}
        connection.execute(sa.update(schema.runs).where(_r.seq == row.seq).values(heartbeat_at=now_ms(), **again))
        connection.execute(
            sa.update(schema.attempts)
            .where(schema.attempts.c.run_seq == row.seq, schema.attempts.c.number == row.attempt)
            .values(error=None, **again)
        )
        drop_summary(connection, row.seq)
    return OpenRun(run_id, row.attempt, row.artifact_uri, row.now, joined=False)


def _find(connection: Connection, run_id: str) -> Any:
    return connection.execute(_FIND, {"run": run_id}).first()


def _reopen(store: Store, connection: Connection, row: Any, new: NewRun, attempt: int, *, join_only: bool) -> OpenRun:
    if join_only or row.attempt == attempt:
        if row.status != "Running":
            raise RunClosed(new.id, row.status)
        return OpenRun(new.id, row.attempt, row.artifact_uri, row.now, joined=True)
    if row.attempt > attempt:
        raise RunClosed(new.id, f"attempt {row.attempt} has begun")
    return _next_attempt(store, connection, row, new, attempt)


def _insert(store: Store, connection: Connection, ids: Ids, new: NewRun, attempt: int) -> OpenRun | None:
    """Make the run, unless another process has just done so."""
    experiment_id = experiment_for(connection, new.experiment)
    artifact_uri = _artifact_uri(store, experiment_id, new.id, attempt)
    row = {
        "id": new.id,
        "experiment_id": experiment_id,
        "parent_id": new.parent_id,
        "parent_attempt": new.parent_attempt,
        "superseded": False,
        "name": new.name,
        "status": "Running",
        "attempt": attempt,
        "user": new.user,
        "started_at": now_ms(),
        "heartbeat_at": now_ms(),
        "artifact_uri": artifact_uri,
        "source": asdict(new.source),
        "environment": new.environment,
        "flow_run_id": new.flow_run_id,
        "task_run_id": new.task_run_id,
    }
    made = insert_returning(connection, schema.runs, row, ("seq", "started_at"))
    if made is None:
        return None
    ids.add_run(new.id, made.seq)
    _insert_attempt(connection, made.seq, attempt)
    write_tags(connection, ids, made.seq, new.tags)
    return OpenRun(new.id, attempt, artifact_uri, made.started_at, joined=False)


def _next_attempt(store: Store, connection: Connection, row: Any, new: NewRun, attempt: int) -> OpenRun:
    artifact_uri = _artifact_uri(store, row.experiment_id, new.id, attempt)
    connection.execute(
        sa.update(schema.runs)
        .where(_r.seq == row.seq)
        .values(
            status="Running",
            attempt=attempt,
            ended_at=None,
            heartbeat_at=now_ms(),
            artifact_uri=artifact_uri,
            parent_attempt=new.parent_attempt,
            superseded=False,
        )
    )
    drop_summary(connection, row.seq)
    _supersede_children(connection, new.id, attempt)
    _insert_attempt(connection, row.seq, attempt)
    return OpenRun(new.id, attempt, artifact_uri, row.now, joined=False)


def _supersede_children(connection: Connection, run_id: str, attempt: int) -> None:
    """Mark the runs below the earlier attempts: searches leave them out."""
    below = sa.select(_r.id).where(_r.parent_id == run_id, _r.parent_attempt < attempt).cte("below", recursive=True)
    below = below.union(sa.select(_r.id).join_from(schema.runs, below, _r.parent_id == below.c.id))
    connection.execute(sa.update(schema.runs).where(_r.id.in_(sa.select(below.c.id))).values(superseded=True))


def _insert_attempt(connection: Connection, seq: int, attempt: int) -> None:
    row = {"run_seq": seq, "number": attempt, "status": "Running", "started_at": now_ms()}
    insert_new(connection, schema.attempts, row)


def _artifact_uri(store: Store, experiment_id: int, run_id: str, attempt: int) -> str:
    return join(store.settings.artifact_root, "runs", str(experiment_id), run_id, str(attempt))
