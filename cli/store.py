"""`prefect-ml store`: looking after what keeps everything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import json_option, print_json, progress, show_table, step

if TYPE_CHECKING:
    from ..settings import Settings

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
    """Remove for good what was deleted long ago: runs, experiments, and their artifacts; and empty the model cache."""
    from dataclasses import asdict

    from ..serving.models.cache import clear_cache
    from ..settings import load_settings
    from ..store.deletion import collect_garbage

    found = collect_garbage(older_than_days=days, dry_run=dry_run)
    cached = clear_cache(load_settings(), dry_run=dry_run)
    if as_json:
        print_json({**asdict(found), "cache": asdict(cached)})
        return
    done = "Would remove" if dry_run else "Removed"
    for what, names in (("run", found.runs), ("experiment", found.experiments), ("artifacts", found.artifacts)):
        for name in names:
            click.echo(f"{done} {what} {name}")
    for digest in cached.models:
        click.echo(f"{done} model {digest} from the cache")
    for run_id, reason in found.kept.items():
        click.echo(f"Kept run {run_id}: {reason}")
    if not found.runs and not found.experiments:
        click.echo(f"Nothing was deleted more than {days:g} days ago.")


@store.command("check")
@click.option("--no-artifacts", is_flag=True, help="Look at the database only.")
@json_option
@click.pass_context
def check(context: click.Context, no_artifacts: bool, as_json: bool) -> None:
    """Look for rows that do not fit and artifacts that are gone; exit code 1 where there are any."""
    from dataclasses import asdict

    from ..store import open_store
    from ..store.checking import check_store

    opened = open_store()
    found = check_store(artifacts=not no_artifacts, store=opened, say=progress)
    if as_json:
        print_json([asdict(problem) for problem in found])
    elif found:
        show_table(("What", "Kind", "Problem"), ((one.what, one.kind, one.message) for one in found), empty="")
    else:
        click.echo(f"Everything fits in {opened.url}.")
    context.exit(1 if found else 0)


@store.command("backup")
@click.argument("to", type=click.Path(path_type=Path))
def backup(to: Path) -> None:
    """Write the store to the new SQLite file TO, while it is in use; artifacts stay where they are."""
    from ..store.backup import backup_store

    click.echo(f"The backup is {backup_store(to)}.")


@store.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--from-artifacts", metavar="ROOT", help="Artifact root of FROM, where the settings do not tell it.")
@click.option("--to-artifacts", metavar="ROOT", help="Artifact root of TO, where the settings do not tell it.")
@click.option("--no-artifacts", is_flag=True, help="Copy the database only; runs refer to where their artifacts lie.")
@json_option
def copy(
    source: str, target: str, from_artifacts: str | None, to_artifacts: str | None, no_artifacts: bool, as_json: bool
) -> None:
    """Copy the store FROM into the store TO (URLs); it goes on where it was stopped, and adds nothing twice."""
    from dataclasses import asdict

    from ..store import open_store
    from ..store.copying import copy_store
    from ..store.upgrade import is_made

    origin = _settings_of(source, from_artifacts, "--from-artifacts", no_artifacts)
    if not is_made(origin):
        raise click.UsageError("There is no store to copy FROM at this URL; check it.")
    first = open_store(origin)
    second = open_store(_settings_of(target, to_artifacts, "--to-artifacts", no_artifacts))
    report = copy_store(first, second, artifacts=not no_artifacts, say=step)
    if as_json:
        print_json(asdict(report))
        return
    click.echo(f"Copied {report.runs:,} runs and {report.files:,} files; {report.there:,} runs were there already.")
    if report.running:
        click.echo(f"Still running: {report.running:,} of these runs; copy again when they have ended.")
    counts = ", ".join(f"{count:,} {name}" for name, count in report.rows.items() if count)
    rest = " but for those that run" if report.running else ""
    click.echo(f"Compared{rest}: both sides have {counts or 'nothing'}.")


def _settings_of(url: str, root: str | None, option: str, no_artifacts: bool) -> Settings:
    """Give the settings of a store by its URL; its artifact root is known where it is the usual one, or beside it."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from ..errors import SettingsError
    from ..settings import load_settings

    usual = load_settings()
    if root is None and url != usual.store_url:
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise SettingsError("A store's URL is sqlite:///path or postgresql://...; one of these is not.") from error
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            root = str(Path(parsed.database).absolute().parent / "artifacts")
        elif not no_artifacts:
            raise click.UsageError(f"Say with {option} where its artifacts lie, or leave them out with --no-artifacts.")
    return load_settings(store_url=url, artifact_root=root)
