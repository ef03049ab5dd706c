"""`prefect-ml run`: a project, in the environment that it declares."""

from __future__ import annotations

import click

from .output import json_option, pairs, print_json, step

__all__ = ["run"]


@click.command()
@click.argument("uri")
@click.option("--entry-point", "-e", default="main", show_default=True, help="A deployment, a flow, or FILE:FUNCTION.")
@click.option(
    "--param", "-P", "params", multiple=True, callback=pairs, metavar="KEY=VALUE", help="A parameter; repeatable."
)
@click.option("--version", "-v", help="Git commit, tag or branch of the project.")
@click.option("--environment", metavar="KIND", help="Kind of environment; what the project declares by default.")
@click.option("--experiment", help="Experiment of the runs that name none.")
@json_option
def run(
    uri: str,
    entry_point: str,
    params: dict[str, str],
    version: str | None,
    environment: str | None,
    experiment: str | None,
    as_json: bool,
) -> None:
    """Run the project at URI, a folder, in its declared environment, and wait for it."""
    from .. import run_project
    from ..store import as_json as record

    outcome = run_project(
        uri,
        entry_point=entry_point,
        params=params,
        version=version,
        environment=environment,
        experiment=experiment,
        report=step,
    )
    if as_json:
        print_json(record(outcome))
        return
    click.echo(f"Flow run {outcome.flow_run_id} of {outcome.entry_point} is {outcome.state}.")
