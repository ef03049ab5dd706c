"""Deployments of entry points: `prefect_ml.flows.projects.deployed.train` is the flow of the entry point `train`.

The project is the working directory: Prefect has gone there when it asks for a flow, in `prefect deploy` and after the
pull steps of a run. What Python cannot have in a name stands there as `%` and two hexadecimal digits. `train@system`
runs in an environment of that kind instead of the declared one.

    build:
    - prefect_ml.flows.projects.deployed.check_project:
        id: project
    pull:
    - prefect.deployments.steps.set_working_directory:
        directory: "{{ project.directory }}"
    deployments:
    - name: train
      entrypoint: prefect_ml.flows.projects.deployed.train
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ...errors import ProjectError

__all__ = ["check_project", "flow_path"]


def flow_path(entry_point: str, environment: str | None = None) -> str:
    """Give Prefect's word for the flow of an entry point.

    Args:
        entry_point: Its name.
        environment: Kind of environment instead of the declared one.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), entry_point)
    return f"{__name__}.{name}" + (f"@{environment}" if environment else "")


def check_project(directory: str = ".", environment: str | None = None) -> dict[str, Any]:
    """Build step: read a project, and build the environment that it declares.

    Args:
        directory: The project's folder.
        environment: Kind of environment instead of the declared one.

    Returns:
        `directory` (absolute), `digest` of the environment, and `version`, the commit or the empty text.

    Raises:
        ProjectError: The project cannot be read.
        EnvironmentFailed: Its environment cannot be built.
    """
    from ...settings import load_settings
    from .descriptor import read_project
    from .ready import realised_of
    from .sources import fetch

    settings = load_settings()
    fetched = fetch(Path(directory).expanduser().resolve(), settings=settings)
    realised = realised_of(read_project(fetched.folder), environment, settings, _say)
    return {"directory": str(fetched.folder), "digest": realised.digest, "version": fetched.commit or ""}


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from .native import project_flow

    point, _, environment = name.partition("@")
    try:
        return project_flow(str(Path.cwd()), unquote(point), environment=environment or None)
    except ProjectError as error:
        raise AttributeError(str(error)) from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - Prefect shows what steps print
