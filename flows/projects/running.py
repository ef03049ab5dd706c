"""Running a project: fetched, read, its environment made real, and its entry point run as a tracked run."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...environments import Realised
from ...errors import ServiceError
from ...running import flow_run_id, is_api_known
from ...store.records import RunEnvironment
from ...tasks.active import entered, innermost_prefect_run
from ...tasks.capture import Given
from ...tasks.scope import Scope, closing, open_scope
from .execution import Work, child_variables, execute
from .flow_running import check_flow, run_flow
from .parameters import check_params, command_of
from .ready import Again, Asked, ProjectRun, Ready, Report, checked_params, inputs_of, prepare
from .sources import workspace

__all__ = ["run_project", "run_ready", "to_stderr"]


def run_project(  # noqa: PLR0913 - all but the first by name
    uri: str | Path,
    *,
    entry_point: str = "main",
    params: Mapping[str, Any] | None = None,
    version: str | None = None,
    environment: str | None = None,
    experiment: str | None = None,
    timeout: float | None = None,
    credentials: str | None = None,
    report: Report | None = None,
) -> ProjectRun:
    """Run an entry point of a project in the environment that the project declares, and wait for it.

    It is a Prefect flow run where a Prefect API is known, and a plain tracked run otherwise; a flow of the project
    always is one.

    Args:
        uri: Folder, Git repository (`https://host/repo.git#sub/folder`), zip file, or fsspec URL of the project.
        entry_point: Entry point of its `MLproject`, a deployment in its `prefect.yaml`, a flow by its function or name,
            or a script; "main" is also the only one of a project that has one.
        params: Values of its parameters; text is converted to what is declared.
        version: Branch, tag or commit.
        environment: Kind of environment, "uv", "conda", "docker" or "system", instead of the declared one.
        experiment: Experiment of the runs that name none.
        timeout: Seconds after which it is stopped and has failed.
        credentials: Prefect block that reads a private repository, such as `github-credentials/mine`.
        report: Called with each line that the build and the project print, in place of Prefect's log or standard error.

    Raises:
        ProjectError: There is no such project, entry point or parameter, or a parameter's value does not fit.
        EnvironmentFailed: The environment cannot be built.
        ProjectRunFailed: It ran and failed.
    """
    uri = str(uri.absolute()) if isinstance(uri, Path) else uri
    asked = Asked(uri, entry_point, version, environment, experiment, timeout, credentials)
    ready = prepare(asked, report or to_stderr)
    run = _run_flow if ready.point.flow else _run_command
    return run(ready, dict(params or {}), report)


def _run_flow(ready: Ready, params: Mapping[str, Any], report: Report | None) -> ProjectRun:
    say = report or to_stderr
    check_flow(ready)
    realised = ready.realised(say)
    return ready.outcome(realised, run_flow(ready, realised, params, say))


def _run_command(ready: Ready, params: Mapping[str, Any], report: Report | None) -> ProjectRun:
    check_params(ready.point, params, folder=ready.project.folder)  # before anything starts
    ready.declaration()
    if flow_run_id() is None and not is_api_known(ready.settings):
        return run_ready(ready, params, report or to_stderr)
    from .native import run_as_flow

    try:
        return run_as_flow(ready, params, report)
    except RuntimeError as error:
        if not str(error).startswith("Failed to reach API"):
            raise
        address = os.environ.get("PREFECT_API_URL", "the configured address")
        raise ServiceError(
            f"No Prefect API answers at {address}; start it, or unset PREFECT_API_URL to run without it."
        ) from error


def run_ready(
    ready: Ready, params: Mapping[str, Any], report: Report, *, outputs: Sequence[str] = (), again: Again | None = None
) -> ProjectRun:
    """Run a command as a tracked run of this process: that of the Prefect run around it, if there is one.

    Args:
        ready: The entry point.
        params: Values of its parameters.
        report: Called with each line that is printed.
        outputs: Files and folders that the command writes, relative to the project, to keep among the artifacts.
        again: What this repeats, if anything.
    """
    point, settings = ready.point, ready.settings
    checked = checked_params(ready, params, report, cwd=again and again.cwd)
    realised = ready.realised(report)
    source = ready.source(realised)
    run = open_scope(_scope(ready, realised, source, again))
    with closing(run), entered(run), _place_of(ready) as folder:
        run.capture.wait()  # so that nothing that the command writes is taken for its code
        work = Work(
            what=f"The entry point {point.name!r} of {ready.fetched.uri}",
            command=command_of(point, checked),
            folder=folder,
            params=checked.raw,
            inputs=inputs_of(point, checked),
            outputs=tuple(outputs),
            realised=realised,
            variables=child_variables(settings, source),
            timeout=ready.asked.timeout,
        )
        execute(run, work, report)
    prefect = innermost_prefect_run()
    flow_run = prefect.flow_run_id if prefect else None
    ended = {"run_id": run.id, "flow_run_id": flow_run, "state": "Completed", "result": None}
    return ready.outcome(realised, ended)


@contextmanager
def _place_of(ready: Ready) -> Generator[Path]:
    if ready.place:
        yield ready.place
    else:
        with workspace(ready.fetched, settings=ready.settings) as place:
            yield place.folder


def _scope(ready: Ready, realised: Realised, source: Mapping[str, Any], again: Again | None) -> Scope:
    """Ask for a run that says whose code it runs, and with which software: not this process's own."""
    facts = realised.facts()
    software = RunEnvironment.of(facts.python, facts.platform, facts.packages)
    return Scope(
        name=again.name if again else f"{ready.project.name}-{ready.point.name}",
        tags={"rerun_of": again.run_id} if again else {},
        experiment=ready.asked.experiment,
        entry_point=ready.point.name,
        file=str(ready.fetched.folder) if ready.fetched.in_place else None,
        given=Given(software, source),
    )


def to_stderr(line: str) -> None:
    """Print a line where people look who started this by hand."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - what a project prints is for whoever started it
