"""What a project is, whoever described it: an `MLproject` file, conventions, or Prefect's own files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...errors import ProjectError

__all__ = ["EntryPoint", "Parameter", "ParameterType", "Project"]

ParameterType = Literal["string", "float", "int", "path", "uri"]


@dataclass(frozen=True)
class Parameter:
    """One declared parameter of an entry point.

    Attributes:
        name: Its name, as the command's placeholder spells it.
        type: string, float, int, path or uri.
        default: The default as it was written; None where a value must be given.
    """

    name: str
    type: ParameterType = "string"
    default: str | None = None


@dataclass(frozen=True)
class EntryPoint:
    """Something that a project offers to run: a command, or a Prefect flow.

    Attributes:
        name: What people call it.
        command: Shell command with `{placeholders}`; None for a flow.
        flow: Prefect's word for where the flow is, such as `train.py:digits`; None for a command.
        parameters: Declared parameters of a command, by name; a flow's are in its signature.
        given: Values that a deployment gives to a flow's parameters.
    """

    name: str
    command: str | None = None
    flow: str | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Project:
    """A project, read and checked; none of its code has run.

    Attributes:
        folder: Where it lies on this machine.
        name: What it calls itself, else the folder's name.
        entry_points: What it offers, by name.
        descriptor: Its `MLproject` file, or None.
    """

    folder: Path
    name: str
    entry_points: Mapping[str, EntryPoint]
    descriptor: Path | None = None

    def find(self, name: str = "main") -> EntryPoint:
        """Give an entry point by its name; "main" is also the only one of a project that has one.

        Raises:
            ProjectError: There is none of this name.
        """
        if found := self.entry_points.get(name):
            return found
        if name == "main" and len(self.entry_points) == 1:
            return next(iter(self.entry_points.values()))
        names = ", ".join(sorted(self.entry_points)) or "none"
        raise ProjectError(f"The project {self.folder} has no entry point {name!r}; it has {names}.")
