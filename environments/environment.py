"""An environment that is ready on this machine: its interpreter, commands that run in it, and what it holds."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EnvironmentFailed
from .commands import Facts
from .declared import Kind
from .facts import facts_of
from .local import LocalCommand
from .locks import in_use
from .uv import child_environ

__all__ = ["MARKER", "PIXI", "Environment", "activation", "home_of", "import_path", "marker_of"]

MARKER = "prefect-ml-environment.json"
PIXI = (".pixi", "envs", "default")
# What conda's own activation does beyond variables: each package may bring a script.
_ACTIVATE = 'for script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do [ -r "$script" ] && . "$script"; done; '


@dataclass(frozen=True)
class Environment:
    """A realised environment on this host.

    Attributes:
        prefix: Its folder; for the kind `system`, that of the interpreter at hand.
        digest: Digest of its declaration.
        kind: What has built it.
    """

    prefix: Path
    digest: str
    kind: Kind = "uv"

    @property
    def python(self) -> Path:
        """Its interpreter, which an environment of the kind conda may lack."""
        return Path(sys.executable) if self.kind == "system" else self.prefix / "bin" / "python"

    def start(
        self, command: str, *, folder: Path, environ: Mapping[str, str], reachable: Sequence[Path] = ()
    ) -> LocalCommand:
        """Start a shell command in it, as `Realised` says; `reachable` is reachable anyway."""
        variables = {**child_environ(), **environ}
        variables |= activation(self, path=variables.get("PATH") or os.defpath)
        if sources := import_path(folder):
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(sources), variables.get("PYTHONPATH")]))
        if self.kind == "conda":
            command = _ACTIVATE + command
        if self.kind == "system":
            return LocalCommand(command, folder=folder, environ=variables)
        hold = in_use(home_of(self.prefix))
        try:
            if marker_of(self.prefix) is None:
                raise EnvironmentFailed(f"The environment {self.digest} was removed meanwhile; run the project again.")
            return LocalCommand(command, folder=folder, environ=variables, inherit=[hold.fileno()] if hold else [])
        finally:
            if hold:
                hold.close()

    def facts(self) -> Facts:
        """Say what it holds, without starting its interpreter."""
        return facts_of(self.kind, self.prefix)


def activation(environment: Environment, *, path: str) -> dict[str, str]:
    """Give the variables by which a shell finds an environment's programs before all others.

    Args:
        environment: The environment.
        path: What PATH is without it.
    """
    prefix = environment.prefix
    variables = {"PATH": os.pathsep.join([str(environment.python.parent), path])}
    if environment.kind == "conda":
        return {**variables, "CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": str(prefix), **_conda_variables(prefix)}
    if environment.kind == "uv" or sys.prefix != sys.base_prefix:
        variables["VIRTUAL_ENV"] = str(prefix)
    return variables


def import_path(folder: Path) -> Path | None:
    """Give the folder that a project's own packages are imported from, where that is not the project itself.

    An environment is shared by all projects that declare the same, so none of them is installed into it: a project
    that is a package with its sources in `src` is imported from there.
    """
    is_package = (folder / "src").is_dir() and (folder / "pyproject.toml").is_file()
    return folder.absolute() / "src" if is_package else None


def marker_of(prefix: Path) -> dict[str, Any] | None:
    """Read what the environment at `prefix` says of itself; None where prefect-ml has not (fully) built it."""
    try:
        return json.loads((home_of(prefix) / MARKER).read_text())
    except (OSError, ValueError):
        return None


def home_of(prefix: Path) -> Path:
    """Give the folder that is an environment's own: pixi keeps what it makes deeper inside."""
    return prefix.parents[2] if prefix.parts[-3:] == PIXI else prefix


def _conda_variables(prefix: Path) -> dict[str, str]:
    """Give the `variables` of a conda.yaml, which the tool keeps in the environment."""
    try:
        state = json.loads((prefix / "conda-meta" / "state").read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in state.get("env_vars", {}).items()}
