"""What it takes to run a deployed flow once more: only the process that runs it can tell."""

from __future__ import annotations

import inspect
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...errors import ProjectError
from ...running import flow_run, task_run
from ...store import Source
from ...store.artifacts import join, put_file
from .flow_facts import holds_secret

if TYPE_CHECKING:
    from ...environments import Environment

__all__ = ["INPUTS", "LOCK", "DeployedFlow", "deployed_flow"]

INPUTS = "project/inputs.json"
LOCK = "project/environment.lock"


@dataclass(frozen=True)
class DeployedFlow:
    """A flow run of a deployment whose flow is a function of the project itself.

    Attributes:
        id: Id of the flow run.
        folder: The project: where the pull steps went.
        entry_point: The flow in it, as `file.py:function`.
        params: Values of its parameters as Prefect keeps them, for JSON.
        environment: Where it runs.
    """

    id: str
    folder: Path
    entry_point: str
    params: Mapping[str, Any]
    environment: Environment

    def source(self, found: Source) -> dict[str, Any]:
        """Say where the code comes from as runs of projects do.

        Args:
            found: What is known of the repository.
        """
        top, folder = Path(os.path.realpath(found.project or self.folder)), self.folder
        inside = folder.relative_to(top).as_posix() if found.commit and folder.is_relative_to(top) else "."
        environment = self.environment
        return {
            "project": str(folder),
            "subfolder": None if inside == "." else inside,
            "environment": f"{environment.kind}:{environment.digest}" if environment.digest else None,
        }

    def keep(self, artifact_uri: str) -> None:
        """Keep what it was given and what it runs in, where runs of projects have that.

        Raises:
            ArtifactError: They cannot be written.
        """
        hidden = [name for name, value in self.params.items() if holds_secret(name, value)]
        params = {name: value for name, value in self.params.items() if name not in hidden}
        inputs = {"entry_point": self.entry_point, "cwd": str(self.folder), "params": params, "digests": {}}
        texts = {INPUTS: json.dumps({**inputs, "hidden": hidden}), LOCK: self.environment.facts().lock}
        with tempfile.TemporaryDirectory(prefix="prefect-ml-run-") as folder:
            for path, text in texts.items():
                file = Path(folder, Path(path).name)
                file.write_text(text)
                put_file(file, join(artifact_uri, path))


def deployed_flow() -> DeployedFlow | None:
    """Give the deployed flow whose run the caller is in; None for any other, and for one that no project holds."""
    run = flow_run()
    if run is None or task_run() is not None or run.context.flow_run.deployment_id is None:
        return None
    try:
        folder = Path(os.path.realpath(Path.cwd()))
    except OSError:
        return None  # somebody has removed it
    entry_point = _entry_point(inspect.unwrap(run.context.flow.fn), folder)
    if entry_point is None:
        return None
    params = cast("dict[str, Any]", run.context.flow_run.parameters)
    return DeployedFlow(run.id, folder, entry_point, params, _environment(folder))


def _entry_point(function: Callable[..., Any], folder: Path) -> str | None:
    """Say where in a project a function is; None where its code is no file of it, such as that of a package."""
    if not inspect.isfunction(function) or function.__qualname__ != function.__name__:
        return None
    file = Path(os.path.realpath(inspect.getsourcefile(function) or ""))
    if not file.is_relative_to(folder) or "site-packages" in file.parts:
        return None
    return f"{file.relative_to(folder).as_posix()}:{function.__name__}"


def _environment(folder: Path) -> Environment:
    """Give the environment that this process runs in: one that was built for it, or else a worker's own."""
    from ...environments import Environment, declared_of
    from ...environments.environment import marker_of

    prefix = Path(sys.prefix)
    if marker := marker_of(prefix):
        return Environment(prefix, marker["digest"], marker["kind"])
    digest = ""
    with suppress(ProjectError):  # it declares another Python than this
        digest = declared_of(folder, kind="system").digest
    return Environment(prefix, digest, "system")
