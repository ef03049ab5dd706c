"""`prefect-ml up`, `down`, `status` and `agent`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .output import json_option, print_json, show_pairs, step

if TYPE_CHECKING:
    from ..flows.services import Running, Status

__all__ = ["agent", "down", "status", "up"]


@click.command()
def up() -> None:
    """Start what a laptop needs, in the background.

    That is a Prefect server (or the one that PREFECT_API_URL names), a worker, the deployments with their automations,
    and the agent that owns this host's endpoints. What runs already is left alone. `prefect-ml down` stops it.
    """
    from ..flows.services import up as start

    found = start(report=step)
    click.echo(f"Prefect UI: {found.prefect_ui_url}\nStop with:  prefect-ml down")


@click.command()
def down() -> None:
    """Stop what `up` started, and nothing else."""
    from ..flows.services import down as stop

    stop(report=step)


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show what runs, and where."""
    from ..flows.services import status as look
    from ..flows.services import status_as_json

    found = look()
    if as_json:
        print_json(status_as_json(found))
        return
    show_pairs(_pairs(found))


@click.command()
def agent() -> None:
    """Own this host's endpoints until interrupted; `up` starts it in the background."""
    from ..running import relay_url
    from ..serving import run_agent
    from ..settings import load_settings

    settings = load_settings()
    run_agent(settings, api_url=lambda: relay_url(settings))


def _pairs(found: Status) -> dict[str, str]:
    services = {
        "Prefect API": found.prefect_api_url or "does not answer",
        "Prefect UI": found.prefect_ui_url or "does not answer",
        "Store": found.store_url,
        "Worker": _service(found.worker),
        "Agent": _service(found.agent),
        "Outbox": f"{found.outbox_backlog} events wait for Prefect" if found.outbox_backlog else "empty",
    }
    endpoints = {
        f"{endpoint.name} {endpoint.stage}": f"{endpoint.status}, {_answering(endpoint.version)}, {endpoint.url}"
        for endpoint in found.endpoints
    }
    return services | endpoints


def _answering(version: int | None) -> str:
    return "nothing answers" if version is None else f"v{version}"


def _service(service: Running | None) -> str:
    return f"runs (process {service.pid})" if service else "does not run"
