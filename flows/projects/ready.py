"""A project on its way to being run: what was asked for, what lies on this machine, and what it declares."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...environments import Declared, DeclaredImage, Realised, declared_of, realise
from ...errors import EnvironmentFailed, ProjectError
from ...settings import Settings, load_settings
from .descriptor import read_project
from .model import EntryPoint, Project
from .parameters import Checked, check_params
from .sources import Fetched, download, fetch

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
    declared: Declared | DeclaredImage | None = None
    place: Path | None = None

    def declaration(self) -> Declared | DeclaredImage:
        """Give the environment in words: one that is known from a lock, else what it declares or was asked for.

        Raises:
            EnvironmentFailed: There is none, or it cannot be built here.
        """
        with _by_address(self.fetched):
            return self.declared or declaration_for(self.project, self.asked.environment)

    def realised(self, report: Report) -> Realised:
        """Make the environment real.

        Raises:
            EnvironmentFailed: It cannot be built.
        """
        return realise(self.declaration(), root=self.settings.environments, report=report)

    def source(self, realised: Realised) -> dict[str, Any]:
        """Say where the code comes from, as records of runs do."""
        fetched = self.fetched
        found = {
            "project": fetched.uri,
            "subfolder": fetched.place or None,
            "version": fetched.version,
            "remote": fetched.remote,
            "environment": f"{realised.kind}:{realised.digest}",
        }
        if fetched.in_place and not fetched.packed:
            return found  # what differs from the commit is found out, and kept, when the run opens
        return found | {
            "commit": fetched.commit,
            "dirty": fetched.dirty,
            "branch": fetched.branch,
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


def prepare(asked: Asked, report: Report) -> Ready:
    """Fetch and read a project, and find what of it is to run.

    Raises:
        ProjectError: It cannot be had, or has no such entry point.
    """
    settings = load_settings()
    fetched = fetch(asked.uri, version=asked.version, settings=settings, report=report, credentials=asked.credentials)
    with _by_address(fetched):
        project = read_project(fetched.folder, address="" if fetched.in_place else fetched.uri)
    return Ready(asked, settings, fetched, project, project.find(asked.entry_point))


@contextmanager
def _by_address(fetched: Fetched) -> Generator[None]:
    """Name the files of a fetched project as whoever asked for it knows them, where something is wrong with them."""
    try:
        yield
    except (ProjectError, EnvironmentFailed) as error:
        raise type(error)(fetched.named(str(error))) from error


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


def declaration_for(project: Project, kind: str | None) -> Declared | DeclaredImage:
    """Read what a project declares about its environment, or what one of another kind would be.

    Raises:
        EnvironmentFailed: It declares none, or one that cannot be built here.
        ProjectError: There is no such kind.
    """
    said = project.environment
    if said is None:
        return declared_of(project.folder, kind=kind)
    return declared_of(
        project.folder,
        kind=kind,
        python_env=said.file if said.field == "python_env" else None,
        conda_env=said.file if said.field == "conda_env" else None,
        image=said.image,
        volumes=said.volumes,
        environment=said.environment,
    )


def realised_of(project: Project, kind: str | None, settings: Settings, report: Report) -> Realised:
    """Make the environment real that a project declares, or one of another kind.

    Raises:
        EnvironmentFailed: It cannot be built.
    """
    return realise(declaration_for(project, kind), root=settings.environments, report=report)
