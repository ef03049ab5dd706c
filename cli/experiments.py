"""`prefect-ml experiments`: the groups that runs are in."""

from __future__ import annotations

import click

from .output import json_option, print_json, show_table

__all__ = ["experiments"]


@click.group()
def experiments() -> None:
    """List, create, rename, delete and restore experiments."""


@experiments.command("list")
@click.option("--deleted", is_flag=True, help="List those that are deleted instead.")
@json_option
def list_(deleted: bool, as_json: bool) -> None:
    """List experiments by name, with how many runs each has."""
    from ..store import as_json as record
    from ..store.experiments import list_experiments

    found = list_experiments(deleted=deleted)
    if as_json:
        print_json([record(one) for one in found])
        return
    rows = ((one.name, one.runs, one.created_at, *([one.deleted_at] if deleted else [])) for one in found)
    columns = ("Name", "Runs", "Created", *(["Deleted"] if deleted else []))
    show_table(columns, rows, empty="No deleted experiments." if deleted else "No experiments yet.")


@experiments.command("create")
@click.argument("name")
def create(name: str) -> None:
    """Make an empty experiment."""
    from ..store.experiments import create_experiment

    create_experiment(name)
    click.echo(f"Created experiment {name!r}.")


@experiments.command("rename")
@click.argument("name")
@click.argument("to")
def rename(name: str, to: str) -> None:
    """Give experiment NAME the name TO."""
    from ..store.experiments import rename_experiment

    rename_experiment(name, to)
    click.echo(f"Renamed experiment {name!r} to {to!r}.")


@experiments.command("delete")
@click.argument("name")
def delete(name: str) -> None:
    """Delete an experiment; `experiments restore` brings it back until `store gc` removes it."""
    from ..store.experiments import delete_experiment

    delete_experiment(name)
    click.echo(f"Deleted experiment {name!r}.")


@experiments.command("restore")
@click.argument("name")
def restore(name: str) -> None:
    """Bring a deleted experiment back, with the runs that it had."""
    from ..store.experiments import restore_experiment

    restore_experiment(name)
    click.echo(f"Restored experiment {name!r}.")
