"""Projects on the command line: `run` one, `init` its deployments, and `runs rerun`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import json_option, pairs, print_json, show_pairs, text_of

if TYPE_CHECKING:
    from ..flows.projects import Verdict

__all__ = ["init", "rerun", "run"]

_UNKNOWN = "nothing that is recorded: look for random numbers, time, and what it reads beside its inputs"
_KINDS = click.Choice(["uv", "conda", "docker", "system"])
_timeout = click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds until it is stopped.")
_credentials = click.option(
    "--credentials", metavar="BLOCK", help="Prefect block for a private repository, such as github-credentials/mine."
)


@click.command()
@click.argument("uri")
@click.option("--entry-point", "-e", default="main", show_default=True, help="An entry point, a flow, or a script.")
@click.option(
    "--param", "-P", "params", multiple=True, callback=pairs, metavar="KEY=VALUE", help="A parameter; repeatable."
)
@click.option("--version", "-v", help="Git commit, tag or branch of the project.")
@click.option("--environment", type=_KINDS, help="Kind of environment; what the project declares by default.")
@click.option("--experiment", help="Experiment of the runs that name none.")
@_timeout
@_credentials
@json_option
def run(  # noqa: PLR0913, PLR0917 - click gives each option
    uri: str,
    entry_point: str,
    params: dict[str, str],
    version: str | None,
    environment: str | None,
    experiment: str | None,
    timeout: float | None,
    credentials: str | None,
    as_json: bool,
) -> None:
    """Run the project at URI in its declared environment, and wait for it.

    URI is a folder, a Git repository (https://host/repo.git#sub/folder), a zip file, or a folder in an object store.
    """
    from .. import run_project
    from ..store import as_json as record

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what it has started is ended either way
    outcome = run_project(
        uri,
        entry_point=entry_point,
        params=params,
        version=version,
        environment=environment,
        experiment=experiment,
        timeout=timeout,
        credentials=credentials,
    )
    if as_json:
        print_json(record(outcome))
        return
    click.echo(f"{outcome.entry_point} is {outcome.state}: run {outcome.run_id}")


@click.command()
@click.argument("folder", default=".", metavar="[DIR]", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--pool", default="ml", show_default=True, help="Work pool that runs the deployments.")
@click.option("--image", metavar="NAME", help="For a pool of containers: name of the image, with its registry.")
@click.option("--environment", type=click.Choice(["system"]), help="The worker's own, where none is declared.")
@click.option("--overwrite", is_flag=True, help="Replace a prefect.yaml that is there.")
def init(folder: Path, pool: str, image: str | None, environment: str | None, overwrite: bool) -> None:
    """Write the prefect.yaml of the project in DIR: one deployment for each entry point."""
    from ..flows.projects import initialise

    file = initialise(folder, pool=pool, image=image, environment=environment, overwrite=overwrite)
    click.echo(f"Wrote {file}; deploy with:  cd {folder} && prefect deploy --all")


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--tolerance", type=click.FloatRange(min=0), default=1e-9, show_default=True, help="Relative.")
@_timeout
@_credentials
@json_option
def rerun(run_id: str, tolerance: float, timeout: float | None, credentials: str | None, as_json: bool) -> None:
    """Run a run of a project again, with its code, environment, parameters and inputs, and compare.

    Exit code 0 means reproduced; 1 that it differs, or was not possible.
    """
    from .. import rerun as run_again
    from ..store import as_json as record
    from .run_ids import find_run

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what it has started is ended either way
    verdict = run_again(find_run(run_id).id, tolerance=tolerance, timeout=timeout, credentials=credentials)
    if as_json:
        print_json({**record(verdict), "differences": [record(one) for one in verdict.differences]})
    else:
        _show(verdict)
    sys.exit(0 if verdict.outcome == "reproduced" else 1)


def _show(verdict: Verdict) -> None:
    differences = [
        f"{one.name}: {text_of(one.was)} → {text_of(one.now)}"
        + (f" ({one.relative:.2g} apart)" if one.relative is not None else "")
        for one in verdict.differences
    ]
    show_pairs(
        {
            "Verdict": verdict.outcome,
            "Run": verdict.run_id,
            "Again": verdict.again,
            "Metrics": "\n".join(differences),
            "Changed": "\n".join(verdict.changed) or (_UNKNOWN if differences else ""),
            "Missing": "\n".join(verdict.missing),
        }
    )
