"""`prefect-ml store`: looking after what keeps everything."""

from __future__ import annotations

import click

from .output import json_option, print_json

__all__ = ["store"]


@click.group()
def store() -> None:
    """Look after the store that keeps everything."""


@store.command("upgrade")
def upgrade() -> None:
    """Bring the store's schema to what this prefect-ml speaks; nothing happens where it is there already."""
    from ..settings import load_settings
    from ..store.engine import connect_store
    from ..store.upgrade import upgrade_store

    opened = connect_store(load_settings())
    click.echo(f"The store {opened.url} is at revision {upgrade_store(opened)}.")


@store.command("recover")
def recover() -> None:
    """Bring the metric points that dead processes left in their journals into the store."""
    from ..store import open_store
    from ..store import recover as replay

    count = replay(open_store())
    click.echo(f"Recovered {count} {'point' if count == 1 else 'points'}.")


@store.command("gc")
@click.option("--older-than", "days", type=float, default=30, show_default=True, help="Days since it was deleted.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def collect(days: float, dry_run: bool, as_json: bool) -> None:
    """Remove for good what was deleted long ago: runs, experiments, and their artifacts."""
    from dataclasses import asdict

    from ..store.deletion import collect_garbage

    found = collect_garbage(older_than_days=days, dry_run=dry_run)
    if as_json:
        print_json(asdict(found))
        return
    done = "Would remove" if dry_run else "Removed"
    for what, names in (("run", found.runs), ("experiment", found.experiments), ("artifacts", found.artifacts)):
        for name in names:
            click.echo(f"{done} {what} {name}")
    for run_id, reason in found.kept.items():
        click.echo(f"Kept run {run_id}: {reason}")
    if not found.runs and not found.experiments:
        click.echo(f"Nothing was deleted more than {days:g} days ago.")
