"""The commands of `prefect-ml runs` that change runs, or carry them elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["delete", "export", "move", "restore"]


@click.command("delete")
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True)
def delete(run_ids: tuple[str, ...]) -> None:
    """Delete runs with the runs below them; `runs restore` brings them back until `store gc` removes them."""
    from ..store.deletion import delete_run
    from .run_ids import find_run

    runs = [find_run(run_id) for run_id in run_ids]
    _say("Deleted", sum(delete_run(run.id) for run in runs))
    click.echo(f"Bring back with:  prefect-ml runs restore {' '.join(run.id for run in runs)}")


@click.command("restore")
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True)
def restore(run_ids: tuple[str, ...]) -> None:
    """Bring deleted runs back, with the runs that were deleted together with them."""
    from ..store.deletion import restore_run
    from .run_ids import find_run

    _say("Restored", sum(restore_run(run.id) for run in [find_run(run_id) for run_id in run_ids]))


@click.command("move")
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--to", required=True, metavar="EXPERIMENT", help="The experiment; it must exist.")
def move(run_ids: tuple[str, ...], to: str) -> None:
    """Move runs to another experiment; their artifacts stay where they are."""
    from ..store.experiments import move_runs
    from .run_ids import find_run

    _say("Moved", move_runs([find_run(run_id).id for run_id in run_ids], to=to))


@click.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("filter", default="")
@click.option("--experiment", "-e", "experiments", multiple=True, help="Only runs of this experiment; repeatable.")
@click.option("--order-by", "order_by", multiple=True, metavar="FIELD", help="For instance 'metrics.rmse desc'.")
@click.option("--column", "columns", multiple=True, metavar="FIELD", help="Only this column; repeatable.")
def export(
    file: Path,
    filter: str,  # noqa: A002 - the library's name
    experiments: tuple[str, ...],
    order_by: tuple[str, ...],
    columns: tuple[str, ...],
) -> None:
    """Write runs to FILE, which ends in .parquet or .csv; FILTER is as in `runs list`."""
    from ..store.exporting import export_runs

    count = export_runs(file, filter, experiments=experiments or None, order_by=order_by, columns=columns or None)
    _say("Exported", count)


def _say(done: str, count: int) -> None:
    click.echo(f"{done} {count} {'run' if count == 1 else 'runs'}.")
