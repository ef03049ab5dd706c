"""Deleting runs: out of sight first, and for good when `collect_garbage` finds them deleted for long enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import RunNotFound, SettingsError, TrackingError
from . import schema
from .artifacts import remove
from .clock import now_ms
from .engine import Store, current_store
from .expressions import is_among
from .models import DOOMED
from .runs import LOST_AFTER_MS
from .writers import flush_pending

__all__ = ["Garbage", "collect_garbage", "delete_run", "restore_run"]

_MOST_DAYS = 36_500
_DAY_MS = 24 * 60 * 60 * 1000
_AT_ONCE = 500
_OF_RUNS = (
    schema.summaries, schema.segments, schema.series, schema.params, schema.tags, schema.run_datasets, schema.attempts,
)  # fmt: skip
_r = schema.runs.c
_e = schema.experiments.c
_m = schema.logged_models.c


@dataclass(frozen=True)
class Garbage:
    """What was removed for good, or would be.

    Attributes:
        runs: Ids of runs.
        experiments: Names of experiments.
        artifacts: Folders and files.
        kept: Why some deleted runs stay, by their id.
    """

    runs: tuple[str, ...]
    experiments: tuple[str, ...]
    artifacts: tuple[str, ...]
    kept: dict[str, str]


def delete_run(run_id: str, *, store: Store | None = None) -> int:
    """Delete a run and all runs below it: searches leave them out until they are restored.

    Returns:
        How many runs were deleted; 0 where it was deleted already.

    Raises:
        RunNotFound: There is no such run.
        TrackingError: It is running, or one below it is.
    """
    store = current_store(store)
    flush_pending(store)
    alive = sa.and_(_r.status == "Running", _r.heartbeat_at >= now_ms() - LOST_AFTER_MS)
    with store.write() as connection:
        row = connection.execute(sa.select(_r.deleted_at).where(_r.id == run_id)).first()
        if row is None:
            raise RunNotFound(run_id)
        if row.deleted_at is not None:
            return 0
        tree = _tree(connection, run_id)
        running = connection.execute(sa.select(_r.id).where(tree, alive).limit(1)).scalar()
        if running is not None:
            raise TrackingError(f"Run {running} is running; wait until it ends, or end it, and delete it then.")
        # One moment for all of them, by which they are restored together.
        now = connection.execute(sa.select(now_ms())).scalar_one()
        return connection.execute(
            sa.update(schema.runs).where(tree, _r.deleted_at.is_(None)).values(deleted_at=now)
        ).rowcount


def restore_run(run_id: str, *, store: Store | None = None) -> int:
    """Bring a deleted run back, with the runs below it that were deleted together with it.

    Returns:
        How many runs were restored; 0 where it was not deleted.

    Raises:
        RunNotFound: There is no such run.
        TrackingError: It is being removed for good.
    """
    with current_store(store).write() as connection:
        row = connection.execute(sa.select(_r.deleted_at).where(_r.id == run_id)).first()
        if row is None:
            raise RunNotFound(run_id)
        if row.deleted_at is None:
            return 0
        if row.deleted_at == DOOMED:
            raise TrackingError(f"Run {run_id} is being removed by `prefect-ml store gc` and cannot be restored.")
        together = sa.and_(_tree(connection, run_id), _r.deleted_at == row.deleted_at)
        return connection.execute(sa.update(schema.runs).where(together).values(deleted_at=None)).rowcount


def collect_garbage(*, older_than_days: float = 30, dry_run: bool = False, store: Store | None = None) -> Garbage:
    """Remove runs and experiments for good, with their artifacts, that were deleted long ago.

    A run from which a model was registered stays, and so do the runs above one that stays. It can be stopped at any
    time: the next call goes on.

    Args:
        older_than_days: For how many days they have been deleted.
        dry_run: Only tell what would be removed.
        store: Another store than the one that the settings name.

    Raises:
        ArtifactError: Artifacts cannot be removed; their runs stay.
        SettingsError: That is no number of days.
    """
    if not 0 <= older_than_days <= _MOST_DAYS:
        raise SettingsError(f"Garbage is told by its age in days: give 0 to {_MOST_DAYS:,}, not {older_than_days:g}.")
    store = current_store(store)
    with store.read() as connection:
        cutoff = connection.execute(sa.select(now_ms())).scalar_one() - round(older_than_days * _DAY_MS)
        rows, kept = _garbage(connection, cutoff)
        experiments = _emptied(connection, cutoff, [row.seq for row in rows])
        artifacts = _artifacts(connection, store, rows)
    found = Garbage(tuple(row.id for row in rows), tuple(name for _, name in experiments), tuple(artifacts), kept)
    if not dry_run:
        for start in range(0, len(rows), _AT_ONCE):
            _remove_runs(store, rows[start : start + _AT_ONCE])
        _remove_unused(store, [number for number, _ in experiments])
        store.ids.clear()
    return found


def _tree(connection: Connection, run_id: str) -> sa.ColumnElement[bool]:
    """Hold for a run and all below it."""
    tree = sa.select(_r.seq, _r.id).where(_r.id == run_id).cte("tree", recursive=True)
    tree = tree.union(sa.select(_r.seq, _r.id).join_from(schema.runs, tree, _r.parent_id == tree.c.id))
    return is_among(connection, _r.seq, connection.execute(sa.select(tree.c.seq)).scalars().all())


def _garbage(connection: Connection, cutoff: int) -> tuple[list[Any], dict[str, str]]:
    """Give the runs to remove, and why others stay."""
    deleted = sa.or_(_r.deleted_at <= cutoff, _e.deleted_at <= cutoff)
    query = sa.select(_r.seq, _r.id, _r.parent_id, _r.artifact_uri, _r.attempt)
    rows = connection.execute(query.join_from(schema.runs, schema.experiments).where(deleted).order_by(_r.seq)).all()
    by_id = {row.id: row for row in rows}
    kept = _registered(connection, cutoff)
    parents = sa.select(_r.parent_id).join_from(schema.runs, schema.experiments)
    living = parents.where(sa.not_(sa.func.coalesce(deleted, sa.false())), _r.parent_id.is_not(None)).distinct()
    waiting = [*connection.execute(living).scalars(), *(by_id[one].parent_id for one in kept)]
    while waiting:
        above = waiting.pop()
        if above in by_id and above not in kept:
            kept[above] = "a run below it stays"
            waiting.append(by_id[above].parent_id)
    return [row for row in rows if row.id not in kept], kept


def _registered(connection: Connection, cutoff: int) -> dict[str, str]:
    version = schema.model_versions.c
    deleted = sa.or_(_r.deleted_at <= cutoff, _e.deleted_at <= cutoff)
    query = (
        sa.select(_r.id, version.name, version.version)
        .join_from(schema.model_versions, schema.runs, version.run_id == _r.id)
        .join(schema.experiments)
        .where(deleted)
        .order_by(version.name, version.version)
    )
    return {id_: f"version {number} of model {name!r} comes from it" for id_, name, number in connection.execute(query)}


def _emptied(connection: Connection, cutoff: int, seqs: Sequence[int]) -> list[tuple[int, str]]:
    """Give the experiments that will have no runs."""
    stays = sa.exists().where(_r.experiment_id == _e.id, sa.not_(is_among(connection, _r.seq, seqs)))
    query = sa.select(_e.id, _e.name).where(_e.deleted_at <= cutoff, sa.not_(stays)).order_by(_e.name, _e.id)
    return list(connection.execute(query).tuples())


def _artifacts(connection: Connection, store: Store, rows: Sequence[Any]) -> list[str]:
    """Give what lies below our artifact root and belongs to these runs alone."""
    root = store.settings.artifact_root.rstrip("/") + "/"
    ids = {row.id for row in rows}
    users: dict[str, set[str]] = {}
    logged = sa.select(_m.uri, _m.run_id)
    for uri, run_id in connection.execute(logged).tuples():
        users.setdefault(uri, set()).add(run_id)
    registered = set(connection.execute(sa.select(schema.model_versions.c.uri)).scalars())
    models = [uri for uri, runs in users.items() if runs <= ids and uri not in registered]
    belongs = {*map(_folder, rows), *models, *_patches(connection, [row.seq for row in rows])}
    return sorted(uri for uri in belongs if uri.startswith(root) and ".." not in uri)


def _patches(connection: Connection, seqs: Sequence[int]) -> set[str]:
    """Give the local changes of code that no other run has started from."""
    changes = _r.source["changes"].as_string()
    mine = is_among(connection, _r.seq, seqs)
    found = set(connection.execute(sa.select(changes).where(mine, changes.is_not(None))).scalars())
    others = sa.select(changes).where(sa.not_(mine), changes.in_(found))
    return found - set(connection.execute(others).scalars())


def _folder(row: Any) -> str:
    """Give the folder of all attempts of a run."""
    own = f"/{row.id}/{row.attempt}"
    return row.artifact_uri.removesuffix(f"/{row.attempt}") if row.artifact_uri.endswith(own) else row.artifact_uri


def _remove_runs(store: Store, rows: Sequence[Any]) -> None:
    """Remove a few runs: artifacts first, so that nothing is left behind that no row names."""
    with store.write() as connection:
        gone = sa.select(_e.id).where(_e.deleted_at.is_not(None))
        still = sa.or_(_r.deleted_at.is_not(None), _r.experiment_id.in_(gone))
        some = [row.seq for row in rows]
        doomed = sa.update(schema.runs).where(_r.seq.in_(some), still).values(deleted_at=DOOMED, parent_id=None)
        connection.execute(doomed)
        found = set(connection.execute(sa.select(_r.seq).where(_r.seq.in_(some), _r.deleted_at == DOOMED)).scalars())
        rows = [row for row in rows if row.seq in found]  # somebody may have restored one meanwhile
        artifacts = _artifacts(connection, store, rows)
    seqs, ids = [row.seq for row in rows], [row.id for row in rows]
    for uri in artifacts:
        remove(uri)
    with store.write() as connection:
        for table in _OF_RUNS:
            connection.execute(sa.delete(table).where(table.c.run_seq.in_(seqs)))
        for column in (_m.run_id, schema.results.c.run_id, schema.reuses.c.run_id, schema.reuses.c.parent_id):
            connection.execute(sa.delete(column.table).where(column.in_(ids)))
        connection.execute(sa.delete(schema.runs).where(_r.seq.in_(seqs)))


def _remove_unused(store: Store, experiments: Sequence[int]) -> None:
    """Remove experiments, and what runs have shared and none refers to any more."""
    used = schema.run_datasets.c.dataset_id == schema.datasets.c.id
    ran = _r.environment == schema.environments.c.digest
    with store.write() as connection:
        for number in experiments:
            empty = sa.not_(sa.exists().where(_r.experiment_id == number))
            connection.execute(sa.delete(schema.experiments).where(_e.id == number, empty))
        connection.execute(sa.delete(schema.datasets).where(sa.not_(sa.exists().where(used))))
        connection.execute(sa.delete(schema.environments).where(sa.not_(sa.exists().where(ran))))
