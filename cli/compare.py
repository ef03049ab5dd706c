"""`prefect-ml runs compare`, `diff` and `report`: looking at runs beside each other, and at one closely."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import is_terminal, json_option, print_json, show_table, text_of
from .run_ids import find_run

if TYPE_CHECKING:
    from ..reports import Change, RunDiff
    from ..store import Run

__all__ = ["compare", "diff", "report"]

_DEFAULT = "compare.html"
_SHOWN = 40
_KINDS = {"metric": "cyan", "status": "cyan"}


@click.command()
@click.argument("run_ids", metavar="[ID]...", nargs=-1)
@click.option("--filter", "filter", default="", help="The runs that match, in place of ids.")
@click.option("--experiment", "-e", "experiments", multiple=True, help="Only runs of this experiment; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True, help="The most runs to take.")
@click.option("--output", type=click.Path(dir_okay=False), help=f"The file to write; {_DEFAULT} by default.")
@click.option("--open", "show", is_flag=True, help="Show the page in the browser.")
def compare(
    run_ids: tuple[str, ...],
    filter: str,  # noqa: A002 - the library's name
    experiments: tuple[str, ...],
    limit: int,
    output: str | None,
    show: bool,
) -> None:
    """Compare runs on one HTML page that needs no network: the runs named by ID, or those that match."""
    from ..reports import compare_runs

    if run_ids and (filter or experiments):
        raise click.UsageError("Give the ids of runs, or --filter and --experiment, not both.")
    named = [find_run(run_id) for run_id in run_ids]
    comparison = compare_runs(named, filter=filter, experiments=experiments or None, limit=limit)
    target = output or (None if show else _DEFAULT)
    file = comparison.open(target) if show else comparison.save(target or _DEFAULT)
    click.echo(f"Compared {comparison.title} in {file}")


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@json_option
def diff(a: str, b: str, as_json: bool) -> None:
    """Tell in what the runs A and B differ: code, params, datasets, environment and metrics, likely causes first."""
    from ..reports import diff_as_json, diff_runs

    found = diff_runs(find_run(a), find_run(b))
    if as_json:
        print_json(diff_as_json(found))
        return
    click.echo(found.summary)
    for sentence in found.unknown:
        click.echo(sentence)
    changes = [*found.causes, *found.effects]
    if not changes:
        return
    click.echo()
    if is_terminal():
        _print(found)
    else:
        rows = [(one.kind, one.name, one.a, one.b, one.note) for one in changes]
        show_table(("Kind", "Name", "A", "B", ""), rows, empty="")


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--output", type=click.Path(dir_okay=False), help="The file to write: HTML where it ends in .html.")
@click.option("--open", "show", is_flag=True, help="Show it in the browser, as HTML.")
def report(run_id: str, output: str | None, show: bool) -> None:
    """Write the report of a run: its metrics, params, data, code, environment and artifacts; markdown by default."""
    from ..reports import report_of, save_run_report

    run = find_run(run_id)
    if not output and not show:
        if is_terminal():
            _print_report(run)
        else:
            click.echo(report_of(run).markdown)
        return
    file = save_run_report(run, output or Path(tempfile.mkdtemp(prefix="prefect-ml-")) / "report.html")
    if show:
        webbrowser.open(file.resolve().as_uri())
    click.echo(f"Wrote the report of {run.name} to {file}")


def _print_report(run: Run) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    from ..reports import report_of

    markdown = report_of(run, diagram=False).markdown
    # Curves are images, which no terminal shows.
    lines = [line for line in markdown.splitlines() if not line.startswith("![")]
    Console(highlight=False).print(Markdown("\n".join(lines)))


def _print(found: RunDiff) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for title, style in (("", "dim"), ("", "bold"), ("A", "red"), ("B", "green"), ("", "dim")):
        table.add_column(title, style=style, overflow="fold")
    causes, left = found.causes[:_SHOWN], len(found.causes) - _SHOWN
    for one in causes:
        table.add_row(*(Text(cell) for cell in _cells(one)))
    if left > 0:
        table.add_row("", Text(f"and {left} more: --json shows all"), "", "", "")
    if causes and found.effects:
        table.add_section()
        table.add_row("", "", "", "", "")
    for one in found.effects[:_SHOWN]:
        table.add_row(*(Text(cell) for cell in _cells(one)))
    Console(highlight=False).print(table)


def _cells(change: Change) -> list[str]:
    return [change.kind, change.name, text_of(change.a), text_of(change.b), change.note]
