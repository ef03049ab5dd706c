"""The life of a run in the store: opened, kept alive, annotated, closed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import ParamConflict, RunClosed, RunNotFound
from . import schema
from .artifacts import join
from .engine import Store, now_ms
from .records import Source
from .upsert import insert_new, intern, upsert

__all__ = [
    "LOST_AFTER_MS",
    "NewRun",
    "OpenRun",
    "close_run",
    "heartbeat",
    "open_run",
    "set_source",
    "write_params",
    "write_tags",
]

# A run whose process has not been heard of for this long is read as Crashed.
LOST_AFTER_MS = 60_000


@dataclass(frozen=True)
class NewRun:
    """What is known of a run when it opens."""

    id: str
    name: str
    experiment: str
    user: str
    parent_id: str | None = None
    flow_run_id: str | None = None
    task_run_id: str | None = None
    source: Source = field(default_factory=Source)


@dataclass(frozen=True)
class OpenRun:
    """A run that takes writes.

    Attributes:
        joined: Whether it was open already, so that another scope or process will close it.
    """

    id: str
    attempt: int
    artifact_uri: str
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
        row = connection.execute(
            sa.select(
                schema.runs.c.attempt, schema.runs.c.status, schema.runs.c.artifact_uri, schema.runs.c.experiment_id
            )
            .where(schema.runs.c.id == new.id)
            .with_for_update()
        ).first()
        if row is None:
            if join_only:
                raise RunNotFound(new.id)
            return _insert(store, connection, new, attempt)
        if join_only or row.attempt == attempt:
            if row.status != "Running":
                raise RunClosed(new.id, row.status)
            return OpenRun(new.id, row.attempt, row.artifact_uri, joined=True)
        if row.attempt > attempt:
            raise RunClosed(new.id, f"attempt {row.attempt} has begun")
        return _next_attempt(store, connection, new.id, attempt, row.experiment_id)


def close_run(store: Store, run: OpenRun, status: str, *, error: str | None = None) -> None:
    """Give a run its final status; an attempt that a later one has replaced only closes itself."""
    with store.write() as connection:
        connection.execute(
            sa.update(schema.attempts)
            .where(schema.attempts.c.run_id == run.id, schema.attempts.c.number == run.attempt)
            .values(status=status, ended_at=now_ms(), error=error)
        )
        connection.execute(
            sa.update(schema.runs)
            .where(schema.runs.c.id == run.id, schema.runs.c.attempt == run.attempt)
            .values(status=status, ended_at=now_ms(), heartbeat_at=now_ms())
        )


def heartbeat(store: Store, run_ids: Iterable[str]) -> None:
    """Say that the processes of these runs are alive, by the database's clock."""
    ids = list(run_ids)
    if ids:
        with store.write() as connection:
            connection.execute(
                sa.update(schema.runs)
                .where(schema.runs.c.id.in_(ids), schema.runs.c.status == "Running")
                .values(heartbeat_at=now_ms())
            )


def set_source(store: Store, run_id: str, source: Source) -> None:
    """Record where the code of a run came from."""
    with store.write() as connection:
        connection.execute(sa.update(schema.runs).where(schema.runs.c.id == run_id).values(source=asdict(source)))


def write_params(store: Store, run: OpenRun, values: Mapping[str, str]) -> None:
    """Write params, each once per attempt: all of them or none.

    Raises:
        ParamConflict: One has another value already.
    """
    with store.write() as connection:
        for name, value in values.items():
            _write_param(connection, run, name, value)


def write_tags(store: Store, run_id: str, values: Mapping[str, str]) -> None:
    """Set tags; the last value wins."""
    with store.write() as connection:
        _write_tags(connection, run_id, values)


def _insert(store: Store, connection: Connection, new: NewRun, attempt: int) -> OpenRun:
    experiment_id = intern(connection, schema.experiments, new.experiment, created_at=now_ms())
    artifact_uri = _artifact_uri(store, experiment_id, new.id, attempt)
    connection.execute(
        sa.insert(schema.runs).values(
            id=new.id,
            experiment_id=experiment_id,
            parent_id=new.parent_id,
            name=new.name,
            status="Running",
            attempt=attempt,
            user=new.user,
            started_at=now_ms(),
            heartbeat_at=now_ms(),
            artifact_uri=artifact_uri,
            source=asdict(new.source),
            flow_run_id=new.flow_run_id,
            task_run_id=new.task_run_id,
        )
    )
    _insert_attempt(connection, new.id, attempt)
    return OpenRun(new.id, attempt, artifact_uri, joined=False)


def _next_attempt(store: Store, connection: Connection, run_id: str, attempt: int, experiment_id: int) -> OpenRun:
    artifact_uri = _artifact_uri(store, experiment_id, run_id, attempt)
    connection.execute(
        sa.update(schema.runs)
        .where(schema.runs.c.id == run_id)
        .values(status="Running", attempt=attempt, ended_at=None, heartbeat_at=now_ms(), artifact_uri=artifact_uri)
    )
    _insert_attempt(connection, run_id, attempt)
    return OpenRun(run_id, attempt, artifact_uri, joined=False)


def _insert_attempt(connection: Connection, run_id: str, attempt: int) -> None:
    connection.execute(
        sa.insert(schema.attempts).values(run_id=run_id, number=attempt, status="Running", started_at=now_ms())
    )


def _artifact_uri(store: Store, experiment_id: int, run_id: str, attempt: int) -> str:
    return join(store.settings.artifact_root, "runs", str(experiment_id), run_id, str(attempt))


def _write_param(connection: Connection, run: OpenRun, name: str, value: str) -> None:
    name_id = intern(connection, schema.names, name)
    row = {"run_id": run.id, "attempt": run.attempt, "name_id": name_id, "value": value, "number": _number(value)}
    if insert_new(connection, schema.params, row):
        return
    table = schema.params
    old = connection.execute(
        sa.select(table.c.value).where(
            table.c.run_id == run.id, table.c.attempt == run.attempt, table.c.name_id == name_id
        )
    ).scalar_one()
    if old != value:
        raise ParamConflict(run.id, name, old, value)


def _write_tags(connection: Connection, run_id: str, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        name_id = intern(connection, schema.names, name)
        upsert(connection, schema.tags, {"run_id": run_id, "name_id": name_id}, {"value": value})


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return None if math.isnan(number) else number  # NaN matches no comparison
