"""What lies around a run: its data, its software, its artifacts, its note, and the runs it belongs with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import RunNotFound
from ..store import Run, Store, get_run, search_runs

if TYPE_CHECKING:
    from ..store.records import RunDataset, RunEnvironment
    from ..store.run_artifacts import Artifact

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
        artifacts: What it left.
        parent: The run that it is a part of, or None.
        children: Its parts, the first begun first, up to some number.
    """

    datasets: Sequence[RunDataset] = ()
    environment: RunEnvironment | None = None
    artifacts: Sequence[Artifact] = ()
    parent: Run | None = None
    children: Sequence[Run] = ()


def read_background(run: Run, *, store: Store) -> Background:
    """Read what lies around a run.

    Raises:
        ArtifactError: Where its artifacts lie cannot be read.
    """
    from ..store.datasets import run_datasets
    from ..store.environments import run_environment
    from ..store.run_artifacts import list_artifacts

    return Background(
        run_datasets(run.id, store=store),
        run_environment(run.id, store=store),
        list_artifacts(run.id, store=store),
        _parent(run, store),
        _children(run, store),
    )


def _parent(run: Run, store: Store) -> Run | None:
    try:
        return get_run(run.parent_id, store=store) if run.parent_id else None
    except RunNotFound:  # deleted since, or kept in another store
        return None


def _children(run: Run, store: Store) -> list[Run]:
    quoted = run.id.replace("'", "''")
    return search_runs(f"parent_id = '{quoted}'", order_by=["started_at"], limit=_CHILDREN, store=store)
