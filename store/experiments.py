"""Experiments: named groups of runs.

`Default` is one like any other: whoever opens a run in an experiment that does not exist makes it. Names that look the
same are the same, however their accents are written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import ExperimentExists, ExperimentNotFound, RunNotFound, TrackingError
from . import schema
from .clock import now_ms
from .engine import Store, current_store
from .names import checked_experiment, normal_name
from .records import from_ms
from .upsert import insert_new

__all__ = [
    "Experiment",
    "create_experiment",
    "delete_experiment",
    "experiment_for",
    "list_experiments",
    "move_runs",
    "rename_experiment",
    "restore_experiment",
]

_e = schema.experiments.c
_r = schema.runs.c


@dataclass(frozen=True)
class Experiment:
    """A named group of runs, as of the moment it was read.

    Attributes:
        runs: How many of its runs a search gives.
        deleted_at: When it was deleted, or None.
    """

    name: str
    runs: int
    created_at: datetime
    deleted_at: datetime | None


def experiment_for(connection: Connection, name: str) -> int:
    """Give the id of the experiment that bears this name now, made where there is none.

    Raises:
        BadName: No experiment can have this name.
    """
    name = checked_experiment(name)
    found = _find(connection, name)
    if found is None:
        insert_new(connection, schema.experiments, {"name": name, "created_at": now_ms()})
        found = connection.execute(_named(name)).scalar_one()
    return found


def list_experiments(*, deleted: bool = False, store: Store | None = None) -> list[Experiment]:
    """Give the experiments by name.

    Args:
        deleted: Give those that are deleted instead, the latest of a name first.
        store: Another store than the one that the settings name.
    """
    visible = sa.and_(_r.deleted_at.is_(None), _r.superseded.is_(False))
    counts = sa.select(_r.experiment_id, sa.func.count().label("runs")).where(visible).group_by(_r.experiment_id).cte()
    query = (
        sa.select(_e.name, sa.func.coalesce(counts.c.runs, 0).label("runs"), _e.created_at, _e.deleted_at)
        .select_from(schema.experiments.outerjoin(counts, counts.c.experiment_id == _e.id))
        .where(_e.deleted_at.is_not(None) if deleted else _e.deleted_at.is_(None))
        .order_by(_e.name, _e.deleted_at.desc(), _e.id)
    )
    with current_store(store).read() as connection:
        return [_experiment(row) for row in connection.execute(query)]


def create_experiment(name: str, *, store: Store | None = None) -> Experiment:
    """Make an empty experiment.

    Raises:
        ExperimentExists: There is one of this name.
        BadName: No experiment can have this name.
    """
    name = checked_experiment(name)
    with current_store(store).write() as connection:
        if not insert_new(connection, schema.experiments, {"name": name, "created_at": now_ms()}):
            raise ExperimentExists(name)
        created_at = connection.execute(sa.select(_e.created_at).where(_e.id == _find(connection, name))).scalar_one()
    return Experiment(name, 0, from_ms(created_at), None)


def rename_experiment(name: str, to: str, *, store: Store | None = None) -> None:
    """Give an experiment another name.

    Raises:
        ExperimentNotFound: There is none of the name `name`.
        ExperimentExists: There is another one of the name `to`.
        BadName: No experiment can have this name.
    """
    to = checked_experiment(to)
    with current_store(store).write() as connection:
        number = _existing(connection, name)
        if _find(connection, to) not in (None, number):
            raise ExperimentExists(to)
        connection.execute(sa.update(schema.experiments).where(_e.id == number).values(name=to))


def delete_experiment(name: str, *, store: Store | None = None) -> None:
    """Delete an experiment: searches leave its runs out, and its name is free, until it is restored.

    Raises:
        ExperimentNotFound: There is none.
    """
    with current_store(store).write() as connection:
        number = _existing(connection, name)
        connection.execute(sa.update(schema.experiments).where(_e.id == number).values(deleted_at=now_ms()))


def restore_experiment(name: str, *, store: Store | None = None) -> None:
    """Bring a deleted experiment back, the latest of this name, with the runs that were visible when it was deleted.

    Raises:
        ExperimentNotFound: There is none of this name, deleted or not.
        ExperimentExists: Another one has taken the name.
        TrackingError: It is not deleted.
    """
    query = sa.select(_e.id).where(_e.name == normal_name(name), _e.deleted_at.is_not(None))
    with current_store(store).write() as connection:
        number = connection.execute(query.order_by(_e.deleted_at.desc(), _e.id.desc()).limit(1)).scalar()
        taken = _find(connection, name) is not None
        if number is None and not taken:
            raise ExperimentNotFound(name)
        if number is None:
            raise TrackingError(f"Experiment {name!r} is not deleted, so that there is nothing to restore.")
        if taken:
            raise ExperimentExists(name)
        connection.execute(sa.update(schema.experiments).where(_e.id == number).values(deleted_at=None))


def move_runs(run_ids: Iterable[str], *, to: str, store: Store | None = None) -> int:
    """Move runs to another experiment; their artifacts stay where they are.

    Args:
        run_ids: The runs; their children are not moved with them.
        to: Name of the experiment, which must exist.
        store: Another store than the one that the settings name.

    Returns:
        How many runs were somewhere else before.

    Raises:
        RunNotFound: One of the runs does not exist; none is moved.
        ExperimentNotFound: There is no such experiment.
    """
    moved = 0
    with current_store(store).write() as connection:
        number = _existing(connection, to)
        for run_id in dict.fromkeys(run_ids):
            group = connection.execute(sa.select(_r.experiment_id).where(_r.id == run_id)).scalar()
            if group is None:
                raise RunNotFound(run_id)
            if group != number:
                connection.execute(sa.update(schema.runs).where(_r.id == run_id).values(experiment_id=number))
                moved += 1
    return moved


def _named(name: str) -> sa.Select[tuple[int]]:
    return sa.select(_e.id).where(_e.name == normal_name(name), _e.deleted_at.is_(None))


def _find(connection: Connection, name: str) -> int | None:
    return connection.execute(_named(name)).scalar()


def _existing(connection: Connection, name: str) -> int:
    found = _find(connection, name)
    if found is None:
        raise ExperimentNotFound(name)
    return found


def _experiment(row: Any) -> Experiment:
    deleted_at = None if row.deleted_at is None else from_ms(row.deleted_at)
    return Experiment(row.name, row.runs, from_ms(row.created_at), deleted_at)
