"""`prefect-ml environments`: what is kept on this host, and room made."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .output import json_option, print_json, show_table

if TYPE_CHECKING:
    from pathlib import Path

    from ..environments.kept import Kept

__all__ = ["environments"]


@click.group()
def environments() -> None:
    """Look after the environments that projects and models run in."""


@environments.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the environments on this host, what was used last first."""
    from ..environments.collect import list_environments
    from ..settings import load_settings

    _show(list_environments(load_settings().environments), as_json, empty="There are no environments on this host.")


@environments.command("gc")
@click.option("--older-than", type=click.FloatRange(min=0), default=30, show_default=True, help="Days without a use.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@json_option
def gc_command(older_than: float, dry_run: bool, as_json: bool) -> None:
    """Remove what nobody has used in a while; it is built again when it is needed.

    Images of Docker that were built for environments go with them, where its daemon answers, and so do copies of
    fetched projects and downloaded inputs.
    """
    from ..environments.collect import collect_environments
    from ..flows.projects.sources import collect_checkouts
    from ..settings import load_settings

    settings = load_settings()
    removed = collect_environments(settings.environments, older_than_days=older_than, dry_run=dry_run)
    copies = collect_checkouts(settings, older_than, dry_run=dry_run)
    if as_json:
        print_json([*map(_record, removed), *map(_copy_record, copies)])
        return
    _show(removed, as_json, empty=f"No environment is unused for {older_than:g} days.")
    said = "would be removed" if dry_run else "removed"
    if removed:
        click.echo(f"{len(removed)} {said}, {sum(kept.size for kept in removed) / 1e6:.0f} MB.")
    if copies:
        click.echo(f"{len(copies)} copies of projects and inputs {said}.")


def _show(found: list[Kept], as_json: bool, *, empty: str) -> None:
    if as_json:
        print_json([_record(kept) for kept in found])
        return
    rows = [(kept.digest, kept.kind, kept.last_used, kept.in_use, _size(kept.size), kept.origin) for kept in found]
    show_table(("digest", "kind", "last used", "in use", "size", "declared in"), rows, empty=empty)


def _record(kept: Kept) -> dict[str, Any]:
    return {**asdict(kept), "last_used": kept.last_used.isoformat(), "path": str(kept.path)}


def _copy_record(path: Path) -> dict[str, Any]:
    """Describe a copy of a project or an input in the words of environments; what is not known of it is null."""
    unknown = dict.fromkeys(("last_used", "size"))
    return {"digest": path.name, "kind": "copy", "origin": "", **unknown, "in_use": False, "path": str(path)}


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
