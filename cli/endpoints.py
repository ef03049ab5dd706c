"""`prefect-ml endpoints`: the models that are served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from .output import json_option, print_json, show_pairs, show_table

if TYPE_CHECKING:
    from ..serving import Endpoint

__all__ = ["endpoints"]

_stage = click.option("--stage", default="Production", show_default=True, help="The stage that the endpoint serves.")


@click.group()
def endpoints() -> None:
    """List, show and stop the served models."""


@endpoints.command("list")
@json_option
def list_all(as_json: bool) -> None:
    """List endpoints: what each should serve, what it serves, and where."""
    from ..serving import list_endpoints
    from ..store import as_json as record

    found = list_endpoints()
    if as_json:
        print_json([record(endpoint) for endpoint in found])
        return
    columns = ("Name", "Stage", "Status", "Version", "Desired", "URL", "Updated")
    show_table(columns, (_row(endpoint) for endpoint in found), empty="No endpoints yet; promote a model first.")


@endpoints.command("show")
@click.argument("name")
@_stage
@json_option
def show(name: str, stage: str, as_json: bool) -> None:
    """Show the endpoint of the model NAME."""
    from ..serving import get_endpoint

    _answer(get_endpoint(name, stage), as_json)


@endpoints.command("stop")
@click.argument("name")
@_stage
@json_option
def stop(name: str, stage: str, as_json: bool) -> None:
    """Stop the endpoint of the model NAME; the next promotion to its stage starts it again."""
    from ..serving import stop_endpoint

    _answer(stop_endpoint(name, stage), as_json)


def _answer(endpoint: Endpoint, as_json: bool) -> None:
    from ..store import as_json as record

    if as_json:
        print_json(record(endpoint))
        return
    show_pairs(
        {
            "Name": endpoint.name,
            "Stage": endpoint.stage,
            "Status": endpoint.status,
            "Message": endpoint.message,
            "URL": endpoint.url,
            "Version": endpoint.version,
            "Desired version": endpoint.desired_version,
            "Target": endpoint.target,
            "Updated": endpoint.updated_at,
        }
    )


def _row(endpoint: Endpoint) -> Iterable[object]:
    return (
        endpoint.name,
        endpoint.stage,
        endpoint.status,
        endpoint.version,
        endpoint.desired_version,
        endpoint.url,
        endpoint.updated_at,
    )
