"""`prefect-ml artifacts`: what runs have logged."""

from __future__ import annotations

import click

from .output import json_option, print_json, show_table
from .run_ids import find_run

__all__ = ["artifacts"]

_UNITS = ("B", "kB", "MB", "GB", "TB")


@click.group()
def artifacts() -> None:
    """List and download what runs have logged."""


@artifacts.command("list")
@click.argument("run_id", metavar="RUN")
@click.argument("path", default="")
@json_option
def list_run_artifacts(run_id: str, path: str, as_json: bool) -> None:
    """List the files that RUN has logged, all of them or those below PATH; the beginning of its id is enough."""
    from ..store import as_json as record
    from ..store.run_artifacts import list_artifacts

    found = list_artifacts(find_run(run_id).id, path)
    if as_json:
        print_json([record(one) for one in found])
        return
    rows = ((one.path, _size(one.size), one.digest and one.digest[:12]) for one in found)
    empty = f"This run has logged nothing at {path!r}." if path else "This run has logged no artifacts."
    show_table(("Path", "Size", "sha256"), rows, empty=empty)


@artifacts.command("download")
@click.argument("run_id", metavar="RUN")
@click.argument("path", default="")
@click.option(
    "--to", metavar="DIR", default=None, help="Folder that gets them; by default one named like the run's id."
)
def download_run_artifacts(run_id: str, path: str, to: str | None) -> None:
    """Download what RUN has logged, all of it or the file or folder PATH, and check each file against its sha256."""
    from ..store.run_artifacts import download_artifacts

    click.echo(download_artifacts(find_run(run_id).id, path, to=to))


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{count} B" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
