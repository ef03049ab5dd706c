"""`prefect-ml runs`: what was tracked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

import click

from .compare import compare, diff, report
from .output import is_terminal, json_option, print_json, show_pairs, show_table, text_of
from .projects import rerun
from .run_ids import find_run, way_back
from .run_table import main_metric, show_runs
from .runs_change import delete, export, move, restore

if TYPE_CHECKING:
    from ..store import Run

__all__ = ["runs"]

_SHOWN_METRICS = 3
_SHOWN_CURVES = 3
_POINTS = 500


@click.group()
def runs() -> None:
    """List, show and compare tracked runs."""


runs.add_command(compare)
runs.add_command(diff)
runs.add_command(report)
for _command in (delete, restore, move, export, rerun):
    runs.add_command(_command)


@runs.command("list")
@click.argument("filter", default="")
@click.option("--experiment", "-e", "experiments", multiple=True, help="Only runs of this experiment; repeatable.")
@click.option("--order-by", "order_by", multiple=True, metavar="FIELD", help="For instance 'metrics.rmse desc'.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The most runs to list.")
@click.option("--metric", metavar="NAME", help="The metric whose curve a terminal shows.")
@click.option("--deleted", is_flag=True, help="List those that are deleted instead.")
@json_option
def list_runs(
    filter: str,  # noqa: A002 - the library's name
    experiments: tuple[str, ...],
    order_by: tuple[str, ...],
    limit: int,
    metric: str | None,
    deleted: bool,
    as_json: bool,
) -> None:
    """List runs, newest first; FILTER is for instance "metrics.rmse < 0.8 and params.alpha >= 0.1"."""
    from ..store import as_json as record
    from ..store.queries import search_runs

    found = search_runs(filter, experiments=experiments or None, order_by=order_by, limit=limit, deleted=deleted)
    if as_json:
        print_json([record(run) for run in found])
        return
    if found and is_terminal():
        show_runs(found, metric or main_metric(found, [*order_by, filter]))
        return
    columns = ("Id", "Name", "Experiment", "Status", "Started", "Metrics")
    none = "No runs match." if filter or experiments else "No deleted runs." if deleted else "No runs yet."
    show_table(columns, (_row(run) for run in found), empty=none)


@runs.command("show")
@click.argument("run_id", metavar="ID")
@json_option
def show_run(run_id: str, as_json: bool) -> None:
    """Show one run; the beginning of its ID is enough where no other run's id begins so."""
    from ..store import as_json as record
    from ..store.queries import error_of

    run = find_run(run_id)
    if as_json:
        print_json(record(run))
        return
    back = way_back(run)
    show_pairs(
        {
            "Id": run.id,
            "Name": run.name,
            "Experiment": run.experiment,
            "Status": run.status,
            "Error": error_of(run.id),
            "Deleted": back and f"yes; bring it back with `{back}`",
            "Attempt": run.attempt,
            "Parent run": run.parent_id,
            "User": run.user,
            "Started": run.started_at,
            "Ended": run.ended_at,
            "Params": _lines(run.params),
            "Metrics": _lines(run.metrics),
            "Tags": _lines(run.tags),
            "Artifacts": run.artifact_uri,
            "Project": run.source.project,
            "Folder": run.source.subfolder,
            "Version": run.source.version,
            "Entry point": run.source.entry_point,
            "Commit": run.source.commit and run.source.commit + (" with local changes" if run.source.dirty else ""),
            "Environment": run.source.environment,
            "Flow run": run.flow_run_id,
            "Task run": run.task_run_id,
        }
    )
    if is_terminal():
        _show_curves(run)


def _show_curves(run: Run) -> None:
    from ..reports.terminal import plot
    from ..store import metric_history

    histories = ((name, metric_history(run.id, name, max_points=_POINTS, attempt=run.attempt)) for name in run.metrics)
    curves = ((name, history) for name, history in histories if len(history) > 1)
    for name, history in islice(curves, _SHOWN_CURVES):
        click.echo(f"\n{plot(name, history)}")


def _row(run: Run) -> Iterable[object]:
    metrics = ", ".join(f"{name} {text_of(value)}" for name, value in islice(run.metrics.items(), _SHOWN_METRICS))
    more = ", …" if len(run.metrics) > _SHOWN_METRICS else ""
    return run.id, run.name, run.experiment, run.status, run.started_at, metrics + more


def _lines(values: Mapping[str, object]) -> str:
    return "\n".join(f"{name} = {text_of(value)}" for name, value in values.items())
