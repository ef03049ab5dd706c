"""Running a project: fetched, read, its environment made real, and its entry point run as a tracked run."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...environments import Declared, Realised, declared_of, realise
from ...running import api_url, flow_run_id
from ...settings import Settings, load_settings
from ...store.records import RunEnvironment
from ...tasks.active import entered
from ...tasks.capture import Given
from ...tasks.scope import Scope, closing, open_scope
from .descriptor import read_project
from .execution import Work, child_variables, execute
from .flow_running import run_flow
from .model import EntryPoint, Project
from .parameters import Checked, check_params, command_of
from .sources import Fetched, download, fetch, workspace

__all__ = [
    "Again",
    "Asked",
    "ProjectRun",
    "Ready",
    "Report",
    "checked_params",
    "declaration_for",
    "inputs_of",
    "prepare",
    "realised_of",
    "run_project",
    "run_ready",
    "to_stderr",
]

Report = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What was asked to run; plain values, so that a flow made of it travels to other processes.

    Attributes:
        uri: Folder or URL of the project.
        entry_point: Name of what to run.
        version: Branch, tag or commit, or None.
        environment: Kind of environment that goes before the declared one, or None.
        experiment: Experiment of the run, or None for that around it or of the settings.
        timeout: Seconds after which the run is stopped, or None.
        credentials: Prefect block with which a private repository is read, or None.
    """

    uri: str
    entry_point: str = "main"
    version: str | None = None
    environment: str | None = None
    experiment: str | None = None
    timeout: float | None = None
    credentials: str | None = None


@dataclass(frozen=True)
class ProjectRun:
    """What became of one run of a project.

    Attributes:
        run_id: Id of the tracked run.
        project: Folder or URL of the project, without credentials.
        entry_point: What of it ran.
        version: Commit that ran, or None for a project without versions.
        flow_run_id: Id of the Prefect flow run, or None outside of Prefect.
        state: How it ended: `Completed`.
        result: What a flow returned, where JSON can hold it; otherwise None.
        environment: Digest of the environment that it ran in.
    """

    run_id: str
    project: str
    entry_point: str
    version: str | None
    flow_run_id: str | None
    state: str
    result: Any
    environment: str


@dataclass(frozen=True)
class Again:
    """A run that is to be repeated.

    Attributes:
        run_id: Its id.
        name: Name of the repetition.
        cwd: Where relative paths among its params started; None where it had none.
    """

    run_id: str
    name: str
    cwd: Path | None


@dataclass(frozen=True)
class Ready:
    """A project that lies on this machine, read and checked.

    Attributes:
        asked: What was asked to run.
        settings: Where things are kept.
        fetched: Its files, and where they come from.
        project: What it says of itself.
        point: What of it is to run.
        declared: Its environment, where that is not what it declares now.
        place: The folder to run in, where that is not its own or a copy of it.
    """

    asked: Asked
    settings: Settings
    fetched: Fetched
    project: Project
    point: EntryPoint
    declared: Declared | None = None
    place: Path | None = None

    def realised(self, report: Report) -> Realised:
        """Make the environment real: one that is known from a lock, else what the project declares or was asked for.

        Raises:
            EnvironmentFailed: It cannot be built.
        """
        if self.declared is not None:
            return realise(self.declared, root=self.settings.environments, report=report)
        return realised_of(self.project, self.asked.environment, self.settings, report)

    def source(self, realised: Realised) -> dict[str, Any]:
        """Say where the code comes from, as records of runs do."""
        fetched = self.fetched
        found = {
            "project": fetched.uri,
            "subfolder": fetched.subfolder or None,
            "version": fetched.version,
            "environment": f"{realised.kind}:{realised.digest}",
        }
        if fetched.in_place:  # what differs from the commit is found out, and kept, when the run opens
            return found
        return found | {
            "commit": fetched.commit,
            "dirty": fetched.dirty,
            "branch": fetched.branch,
            "remote": fetched.remote,
        }

    def outcome(self, realised: Realised, ended: Mapping[str, Any]) -> ProjectRun:
        """Say what became of a run that has completed."""
        return ProjectRun(
            run_id=ended["run_id"],
            project=self.fetched.uri,
            entry_point=self.point.name,
            version=self.fetched.commit,
            flow_run_id=ended["flow_run_id"],
            state=ended["state"],
            result=ended["result"],
            environment=realised.digest,
        )


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
        entry_point: Entry point of its `MLproject`, a deployment in its `prefect.yaml`, a flow function, a script; or
            "main", which is also the only one of a project that has one.
        params: Values of its parameters; text is converted to what is declared.
        version: Branch, tag or commit.
        environment: Kind of environment, "uv", "conda", "docker" or "system", instead of the declared one.
        experiment: Experiment of the runs that name none.
        timeout: Seconds after which it is stopped and has failed.
        credentials: Prefect block that reads a private repository, such as `github-credentials/mine`.
        report: Called with each line that the build and the project print; by default they go to Prefect's log, or to
            standard error outside of Prefect.

    Raises:
        ProjectError: There is no such project, entry point or parameter, or a parameter's value does not fit.
        EnvironmentFailed: The environment cannot be built.
        ProjectRunFailed: It ran and failed.
    """
    say = report or to_stderr
    uri = str(uri.absolute()) if isinstance(uri, Path) else uri
    ready = prepare(Asked(uri, entry_point, version, environment, experiment, timeout, credentials), say)
    given = dict(params or {})
    if ready.point.flow:
        realised = ready.realised(say)
        return ready.outcome(realised, run_flow(ready, realised, given, say))
    check_params(ready.point, given, folder=ready.project.folder)  # before anything starts
    if flow_run_id() is None and not _prefect_knows_an_api(ready.settings):
        return run_ready(ready, given, say)
    from .native import run_as_flow

    return run_as_flow(ready, given, report)


def _prefect_knows_an_api(settings: Settings) -> bool:
    """Whether a flow run would go to a server that is there, so that Prefect need not start one of its own."""
    if "prefect" in sys.modules:  # it has read its settings
        from prefect.settings import PREFECT_API_URL

        return bool(PREFECT_API_URL.value())
    if url := api_url(settings):
        os.environ["PREFECT_API_URL"] = url
    return url is not None


def prepare(asked: Asked, report: Report) -> Ready:
    """Fetch and read a project, and find what of it is to run.

    Raises:
        ProjectError: It cannot be had, or has no such entry point.
    """
    settings = load_settings()
    fetched = fetch(asked.uri, version=asked.version, settings=settings, report=report, credentials=asked.credentials)
    project = read_project(fetched.folder)
    return Ready(asked, settings, fetched, project, project.find(asked.entry_point))


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
    ended = {"run_id": run.id, "flow_run_id": flow_run_id(), "state": "Completed", "result": None}
    return ready.outcome(realised, ended)


@contextmanager
def _place_of(ready: Ready) -> Generator[Path]:
    if ready.place:
        yield ready.place
    else:
        with workspace(ready.fetched, settings=ready.settings) as place:
            yield place.folder


def checked_params(ready: Ready, params: Mapping[str, Any], report: Report, *, cwd: Path | None = None) -> Checked:
    """Check the values of a command's parameters, and bring to this machine what those of type path name.

    Raises:
        ProjectError: Some do not fit.
    """
    bring = functools.partial(download, settings=ready.settings, report=report)
    checked = check_params(ready.point, params, folder=ready.project.folder, cwd=cwd, download=bring)
    for warning in checked.warnings:
        report(warning)
    return checked


def inputs_of(point: EntryPoint, checked: Checked) -> dict[str, Path]:
    """Give the files and folders that parameters of type path name, once they are on this machine."""
    declared = point.parameters.items()
    return {name: Path(checked.values[name]) for name, one in declared if one.type == "path" and name in checked.values}


def declaration_for(project: Project, kind: str | None) -> Declared:
    """Read what a project declares about its environment, or what one of another kind would be.

    Raises:
        EnvironmentFailed: It declares none, or one that cannot be built here.
        ProjectError: There is no such kind.
    """
    said = project.environment
    named = {said.field: said.file} if said and said.file else {}
    return declared_of(project.folder, kind=kind, **named)


def realised_of(project: Project, kind: str | None, settings: Settings, report: Report) -> Realised:
    """Make the environment real that a project declares, or one of another kind.

    Raises:
        EnvironmentFailed: It cannot be built.
    """
    return realise(declaration_for(project, kind), root=settings.environments, report=report)


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
