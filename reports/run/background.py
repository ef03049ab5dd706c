"""What lies around a run: its data, its software, its artifacts, its note, and the runs it belongs with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import ArtifactError, RunNotFound
from ...store import Run, Store, get_run, search_runs
from ...store.datasets import RunDataset, run_datasets
from ...store.environments import RunEnvironment, run_environment
from ...store.reuses import ReusedRun, reused_runs
from ...store.run_artifacts import Artifact, list_artifacts

__all__ = ["NOTE", "Background", "read_background"]

NOTE = "note"
"""The tag that holds what people wrote about a run, in markdown."""
_CHILDREN = 40


@dataclass(frozen=True)
class Background:
    """What a report tells beside the run itself.

    Attributes:
        datasets: What it used.
        environment: What it ran with, or None where that is not known.
        artifacts: What it left, or None where that could not be read.
        parent: The run that it is a part of, or None.
        children: Its parts, the first begun first, up to some number.
        reused: The parts whose results came from Prefect's cache.
        more: Whether there are more parts.
    """

    datasets: Sequence[RunDataset] = ()
    environment: RunEnvironment | None = None
    artifacts: Sequence[Artifact] | None = ()
    parent: Run | None = None
    children: Sequence[Run] = ()
    reused: Sequence[ReusedRun] = ()
    more: bool = False


def read_background(run: Run, *, store: Store) -> Background:
    """Read what lies around a run; artifacts that cannot be reached are no reason to have no report."""
    children, reused = _children(run, store), reused_runs(run.id, store=store)
    return Background(
        run_datasets(run.id, store=store),
        run_environment(run.id, store=store),
        _artifacts(run, store),
        _parent(run, store),
        children[:_CHILDREN],
        reused[:_CHILDREN],
        more=max(len(children), len(reused)) > _CHILDREN,
    )


def _artifacts(run: Run, store: Store) -> list[Artifact] | None:
    try:
        return list_artifacts(run.id, store=store)
    except ArtifactError:
        return None


def _parent(run: Run, store: Store) -> Run | None:
    try:
        return get_run(run.parent_id, store=store) if run.parent_id else None
    except RunNotFound:  # deleted since, or kept in another store
        return None


def _children(run: Run, store: Store) -> list[Run]:
    quoted = run.id.replace("'", "''")
    return search_runs(f"parent_id = '{quoted}'", order_by=["started_at"], limit=_CHILDREN + 1, store=store)
