"""`prefect-ml store`: looking after what keeps everything."""

from __future__ import annotations

import click

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
