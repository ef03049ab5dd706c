"""`prefect-ml models`: the registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from .evaluation import evaluate
from .output import json_option, pairs, print_json, show_pairs, show_table, text_of

if TYPE_CHECKING:
    from ..registry import ModelEvent, ModelVersion, RegisteredModel
    from ..serving import InspectedModel

__all__ = ["models"]


def _expected(_context: click.Context, _parameter: click.Parameter, value: str | None) -> dict[str, Any]:
    """Keep "left out" and "nobody" apart: only the first gives no argument at all."""
    if value is None:
        return {}
    if value != "nobody" and not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither the number of a version nor 'nobody'.")
    return {"expect": None if value == "nobody" else int(value)}


@click.group()
def models() -> None:
    """List, register and promote models."""


@models.command("list")
@click.argument("filter", default="")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The most models to list.")
@json_option
def list_models(filter: str, limit: int, as_json: bool) -> None:  # noqa: A002 - the library's name
    """List registered models; FILTER is for instance "name like 'wine%'"."""
    from ..registry import search_models
    from ..store import as_json as record

    found = search_models(filter, limit=limit)
    if as_json:
        print_json([record(model) for model in found])
        return
    rows = ((model.name, model.versions, _stages(model), model.created_at, model.description) for model in found)
    columns = ("Name", "Versions", "Stages", "Created", "Description")
    show_table(columns, rows, empty="No models match." if filter else "No models are registered yet.")


@models.command("versions")
@click.argument("name", required=False)
@click.option("--filter", "condition", default="", help="For instance \"stage = 'Production'\".")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The most versions to list.")
@json_option
def list_versions(name: str | None, condition: str, limit: int, as_json: bool) -> None:
    """List versions, newest first: those of the model NAME, or of all models."""
    from ..registry import get_model, search_model_versions
    from ..store import as_json as record

    if name is not None:
        get_model(name)
    found = search_model_versions(condition, name=name, limit=limit)
    if as_json:
        print_json([record(version) for version in found])
        return
    _show_versions(found)


@models.command("show")
@click.argument("name")
@click.argument("version", required=False)
@json_option
def show_model(name: str, version: str | None, as_json: bool) -> None:
    """Show the model NAME and its versions, or one VERSION of it: a number, a stage, @ALIAS, or "latest"."""
    from ..registry import get_model, get_model_version, search_model_versions
    from ..store import as_json as record

    found = get_model(name) if version is None else get_model_version(name, version)
    if as_json:
        print_json(record(found))
    elif version is None:
        _show_model(get_model(name))
        click.echo()
        _show_versions(search_model_versions(name=name))
    else:
        _show_version(get_model_version(name, version))


@models.command("register")
@click.argument("name")
@click.argument("uri")
@click.option("--description", default="", help="What is special about this version.")
@click.option("--tag", "tags", multiple=True, callback=pairs, metavar="KEY=VALUE", help="A tag; repeatable.")
@json_option
def register(name: str, uri: str, description: str, tags: dict[str, str], as_json: bool) -> None:
    """Register what a run has logged, URI runs:/RUN_ID/PATH, as the next version of the model NAME."""
    from ..registry import register_model
    from ..store import as_json as record

    version = register_model(name, uri, description=description, tags=tags)
    if as_json:
        print_json(record(version))
        return
    click.echo(f"Registered version {version.version} of model {version.name!r}.")


@models.command("promote")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--to", "stage", required=True, metavar="STAGE", help="None, Staging, Production or Archived.")
@click.option("--reason", default="", help="Why; kept in the model's history.")
@click.option(
    "--expect",
    "expected",
    callback=_expected,
    metavar="VERSION|nobody",
    help="Refuse unless this version, or nobody, holds the stage now.",
)
@json_option
def promote(name: str, version: int, stage: str, reason: str, expected: dict[str, Any], as_json: bool) -> None:
    """Give a stage to VERSION of the model NAME; the endpoint of a served stage follows."""
    from .. import promote as promote_version
    from ..store import as_json as record

    event = promote_version(name, version, to=stage, reason=reason, **expected)
    if as_json:
        print_json(record(event))
        return
    click.echo(f"Version {event.version} of model {event.name!r} is now {event.to_stage} (event {event.id}).")


models.add_command(evaluate)


@models.command("history")
@click.argument("name")
@json_option
def history(name: str, as_json: bool) -> None:
    """Show every event of the model NAME, oldest first."""
    from ..registry import model_history
    from ..store import as_json as record

    events = model_history(name)
    if as_json:
        print_json([record(event) for event in events])
        return
    columns = ("At", "Event", "Version", "From", "To", "Actor", "Reason")
    show_table(columns, (_event_row(event) for event in events), empty="Nothing has happened to this model yet.")


@models.group("alias")
def alias() -> None:
    """Set and delete aliases, names of your own that lead to versions."""


@alias.command("set")
@click.argument("name")
@click.argument("alias")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--reason", default="", help="Why; kept in the model's history.")
@json_option
def set_one(name: str, alias: str, version: int, reason: str, as_json: bool) -> None:
    """Let ALIAS lead to VERSION of the model NAME, as models:/NAME@ALIAS."""
    from ..registry import set_alias
    from ..store import as_json as record

    event = set_alias(name, alias, version, reason=reason)
    if as_json:
        print_json(record(event))
        return
    click.echo(f"models:/{event.name}@{event.evidence['alias']} is now version {event.version} (event {event.id}).")


@alias.command("delete")
@click.argument("name")
@click.argument("alias")
@click.option("--reason", default="", help="Why; kept in the model's history.")
@json_option
def delete_one(name: str, alias: str, reason: str, as_json: bool) -> None:
    """Take ALIAS away from the model NAME; the version that it led to stays."""
    from ..registry import delete_alias
    from ..store import as_json as record

    event = delete_alias(name, alias, reason=reason)
    if as_json:
        print_json(record(event))
        return
    click.echo(f"models:/{event.name}@{event.evidence['alias']} led to version {event.version} (event {event.id}).")


@models.command("inspect")
@click.argument("uri")
@json_option
def inspect(uri: str, as_json: bool) -> None:
    """Show what the model at URI is, what it needs, and what loading it would run; nothing of it is loaded.

    URI is runs:/RUN_ID/PATH, models:/NAME/VERSION, models:/NAME@ALIAS, a folder, a URL, or a .zip or .tar.gz.
    """
    from ..serving import inspect_model
    from ..store import as_json as record

    found = inspect_model(uri)
    if as_json:
        print_json(record(found))
        return
    _show_inspected(found)


def _show_inspected(model: InspectedModel) -> None:
    if model.executes is None:
        executes = "not known before its files are fetched"
    else:
        executes = "\n".join(model.executes) or "nothing"
    show_pairs(
        {
            "Model": model.uri,
            "Files at": model.place,
            "Flavor": model.flavor or f"none that is known here, of {', '.join(model.flavors)}",
            "Signature": "\n".join(f"{name}: {said}" for name, said in (model.signature or {}).items()),
            "Size": f"{model.size:,} bytes in {len(model.files):,} files",
            "Files": "\n".join(f"{path} ({size:,})" for path, size in model.files.items()),
            "Requirements": "\n".join(model.requirements),
            "Python": model.python_version,
            "Run": model.run_id,
            "Created": model.created,
            "Digest": model.digest,
            "Loading runs": executes,
            "In the store": "yes, this is one of its models" if model.vouched else "no, it has no record of it",
        }
    )


def _show_model(model: RegisteredModel) -> None:
    show_pairs(
        {
            "Name": model.name,
            "Versions": model.versions,
            "Stages": _stages(model),
            "Created": model.created_at,
            "Created by": model.created_by,
            "Description": model.description,
        }
    )


def _show_version(version: ModelVersion) -> None:
    show_pairs(
        {
            "Name": version.name,
            "Version": version.version,
            "Stage": version.stage,
            "Status": version.status,
            "Aliases": ", ".join(version.aliases),
            "Run": version.run_id,
            "Source": version.source,
            "Files": version.uri,
            "Digest": version.digest,
            "Tags": "\n".join(f"{name} = {value}" for name, value in version.tags.items()),
            "Created": version.created_at,
            "Created by": version.created_by,
            "Description": version.description,
        }
    )


def _show_versions(versions: Iterable[ModelVersion]) -> None:
    rows = ((one.name, one.version, one.stage, one.status, one.created_at, one.run_id) for one in versions)
    show_table(("Name", "Version", "Stage", "Status", "Created", "Run"), rows, empty="No versions match.")


def _event_row(event: ModelEvent) -> Iterable[object]:
    return event.at, event.kind, event.version, event.from_stage, event.to_stage, event.actor, event.reason


def _stages(model: RegisteredModel) -> str:
    return ", ".join(f"{stage} {text_of(version)}" for stage, held in model.stages.items() for version in held)
