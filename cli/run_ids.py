"""Finding the run that somebody means by the beginning of its id."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from ..errors import RunNotFound

if TYPE_CHECKING:
    from ..store import Run

__all__ = ["find_run", "way_back"]


def find_run(run_id: str) -> Run:
    """Give the run with this id, or the only one whose id begins so.

    Raises:
        RunNotFound: There is none.
        click.BadParameter: There are several.
    """
    from ..store import get_run, search_runs

    try:
        return get_run(run_id)
    except RunNotFound:
        # What the filter language would read as more than plain text is no beginning of an id.
        if not run_id or set(run_id) & set("'%_\\"):
            raise
        begins = f"id like '{run_id}%'"
        found = [
            run for deleted in (False, True) for run in search_runs(begins, limit=2, deleted=deleted, superseded=True)
        ]
        if len(found) > 1:
            raise click.BadParameter(f"More than one run's id begins with {run_id!r}; give more of it.") from None
        if not found:
            raise
        return found[0]


def way_back(run: Run) -> str | None:
    """Give the command that brings a run back where it is deleted, by itself or with its experiment."""
    from ..store import search_runs
    from ..store.experiments import list_experiments

    quoted = run.id.replace("'", "''")
    if not search_runs(f"id = '{quoted}'", deleted=True, superseded=True):
        return None
    if run.experiment in {one.name for one in list_experiments()}:
        return f"prefect-ml runs restore {run.id}"
    return f"prefect-ml experiments restore {shlex.quote(run.experiment)}"
