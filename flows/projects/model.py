"""What a project is, whoever described it: an `MLproject` file, conventions, or Prefect's own files."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ...errors import ProjectError

__all__ = [
    "DeclaredEnvironment",
    "EntryPoint",
    "EnvironmentField",
    "Parameter",
    "ParameterType",
    "Project",
    "script_entry_point",
]

ParameterType = Literal["string", "float", "int", "path", "uri"]
EnvironmentField = Literal["python_env", "conda_env", "docker_env"]

_INTERPRETERS = {".py": "python", ".sh": "bash", ".R": "Rscript"}


@dataclass(frozen=True)
class Parameter:
    """One declared parameter of an entry point.

    Attributes:
        name: Its name, as the command's placeholder spells it.
        type: string, float, int, path or uri.
        default: The default as it was written; None where a value must be given.
        description: What its author says about it; empty for nothing.
    """

    name: str
    type: ParameterType = "string"
    default: str | None = None
    description: str = ""


@dataclass(frozen=True)
class EntryPoint:
    """Something that a project offers to run: a command, or a Prefect flow.

    Attributes:
        name: What people call it.
        command: Shell command with `{placeholders}`; None for a flow.
        flow: Prefect's word for where the flow is, such as `train.py:digits`; None for a command.
        flow_name: Name of a flow in Prefect, as its decorator gives it; empty for commands and deployments.
        parameters: Declared parameters of a command, by name; a flow's are in its signature.
        given: Values that a deployment gives to a flow's parameters.
        description: What its author says about it; empty for nothing.
    """

    name: str
    command: str | None = None
    flow: str | None = None
    flow_name: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    description: str = ""

    @property
    def flow_names(self) -> frozenset[str]:
        """What people call a flow that is no deployment: its function, and its name in Prefect."""
        return frozenset({(self.flow or "").rpartition(":")[2], self.flow_name}) if self.flow_name else frozenset()


@dataclass(frozen=True)
class DeclaredEnvironment:
    """What a project's `MLproject` says about its environment.

    Attributes:
        field: Which of its fields says so: python_env, conda_env or docker_env.
        file: The file that python_env or conda_env names, which exists; None for docker_env.
        image: Image of docker_env; empty for the others.
        volumes: Volumes of docker_env, as written: `HOST:CONTAINER`, `HOST:CONTAINER:ro`.
        environment: Variables of docker_env: a name and its value, or None for the value that the caller has.
    """

    field: EnvironmentField
    file: Path | None = None
    image: str = ""
    volumes: tuple[str, ...] = ()
    environment: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class Project:
    """A project, read and checked; none of its code has run.

    Attributes:
        folder: Where it lies on this machine.
        name: What it calls itself, else the folder's name.
        entry_points: What it offers by name: first what `MLproject` says, then deployments, then flow functions.
        descriptor: Its `MLproject` file, or None.
        environment: What the descriptor says about the environment; None where it says nothing, so that the files in
            the folder count.
        address: How messages name it: where it was fetched from; empty for a folder of this machine.
        scripts: Names of the scripts directly in the folder; those in sub-folders run by their path too.
    """

    folder: Path
    name: str
    entry_points: Mapping[str, EntryPoint]
    descriptor: Path | None = None
    environment: DeclaredEnvironment | None = None
    scripts: tuple[str, ...] = ()
    address: str = ""

    def find(self, name: str = "main") -> EntryPoint:
        """Give an entry point.

        Args:
            name: Its name; for a flow also `file.py:function`, or the name that its decorator gives; for a script its
                path in the project, with its suffix or, where only one script fits, without. "main" is also the only
                one of a project that has one.

        Raises:
            ProjectError: There is none of this name, or several.
        """
        found = self.entry_points.get(name)
        if found and not found.flow_name:
            return found
        if found := self._flow(name) or self._script(name):
            return found
        if name == "main" and (found := self._only()):
            return found
        raise self._without(name)

    @property
    def _shown(self) -> str:
        return self.address or str(self.folder)

    def _without(self, name: str) -> ProjectError:
        if not self.entry_points and not self.scripts:
            return ProjectError(
                f"The project {self._shown} has nothing to run: write an MLproject file, a Prefect flow, or a script."
            )
        names = [*self.entry_points, *(point.flow_name for point in self.entry_points.values()), *self.scripts]
        near = difflib.get_close_matches(name, names, 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        offered = ", ".join(sorted(self.entry_points)) or "none"
        return ProjectError(f"The project {self._shown} has no entry point {name!r}{meant}; it has {offered}.")

    def _flow(self, name: str) -> EntryPoint | None:
        points = self.entry_points.values()
        if found := next((point for point in points if point.flow == name), None):
            return found
        file = PurePosixPath(name.rpartition(":")[0])
        if file.suffix == ".py" and len(file.parts) > 1 and self._holds(file):
            return EntryPoint(name, flow=name)
        fitting = [point for point in points if name in point.flow_names]
        if len(fitting) > 1:
            choices = " or ".join(point.flow or "" for point in fitting)
            raise ProjectError(f"{name!r} can be {choices} in {self._shown}; name one of them.")
        return fitting[0] if fitting else None

    def _script(self, name: str) -> EntryPoint | None:
        path = PurePosixPath(name)
        if path.suffix in _INTERPRETERS and self._holds(path):
            return script_entry_point(path)
        fitting = [
            other for suffix in _INTERPRETERS if path.name and self._holds(PurePosixPath(other := f"{path}{suffix}"))
        ]
        if len(fitting) > 1:
            raise ProjectError(f"{name!r} can be {' or '.join(fitting)} in {self._shown}; name the file.")
        return script_entry_point(PurePosixPath(fitting[0])) if fitting else None

    def _holds(self, path: PurePosixPath) -> bool:
        """Whether there is a file of this path in the project."""
        is_outside = path.is_absolute() or ".." in path.parts or "\0" in str(path)
        return not is_outside and (self.folder / path).is_file()

    def _only(self) -> EntryPoint | None:
        """Give what the project offers if that is one thing, under whatever names."""
        offered = list(self.entry_points.values())
        return offered[0] if len({(point.command, point.flow) for point in offered}) == 1 else None


def script_entry_point(path: PurePosixPath) -> EntryPoint | None:
    """Make an entry point of a script in a project; None for a file that is no script.

    Args:
        path: Its path in the project.
    """
    interpreter = _INTERPRETERS.get(path.suffix)
    if interpreter is None:
        return None
    # In front of a dash, so that no interpreter takes the file's name for an option.
    argument = shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))
    return EntryPoint(str(path), command=f"{interpreter} {argument}".replace("{", "{{").replace("}", "}}"))
