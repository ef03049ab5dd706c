"""Deployment steps for a project's `prefect.yaml`: declare its environment at deploy time, enter it at run time.

    build:
    - prefect_ml.environments.steps.declare_environment:
        id: environment
    pull:
    - prefect_ml.environments.steps.enter_project:
        directory: "{{ environment.directory }}"
    deployments:
    - name: train
      entrypoint: train.py:digits
      work_pool:
        name: prefect-ml
        job_variables:
          env: "{{ environment.job_env }}"

Prefect runs the pull step in the worker's interpreter, then starts the flow with `uv run` in the project's.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from ..errors import EnvironmentFailed, ProjectError
from ..settings import load_settings
from .declared import declared_of, project_table, requirement_name
from .environment import Environment, import_path
from .pythons import allows
from .realise import realise

__all__ = ["declare_environment", "enter_project"]


def declare_environment(directory: str = ".") -> dict[str, Any]:
    """Build step: check that a project's environment can be had, and build it.

    Args:
        directory: The project's folder.

    Returns:
        `directory` (absolute), `digest` of the environment, and `job_env`, the variables for the deployment's
        `job_variables.env` that make Prefect start the flow in it.

    Raises:
        EnvironmentFailed: The environment cannot be built, or Prefect would not use it.
        ProjectError: There is no such folder.
    """
    folder = _folder(directory)
    environment = _realise(folder)
    return {
        "directory": str(folder),
        "digest": environment.digest,
        "job_env": {"PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "true"},
    }


def enter_project(directory: str) -> dict[str, Any]:
    """Pull step: make a project's folder the working directory, and its environment the one the flow starts in.

    Args:
        directory: The project's folder on the worker's host.

    Returns:
        `directory` (absolute) and `digest` of the environment.

    Raises:
        EnvironmentFailed: The environment cannot be built, or uv is not on the worker's PATH.
        ProjectError: There is no such folder.
    """
    folder = _folder(directory)
    _require_prefect(folder)
    if shutil.which("uv") is None:
        raise EnvironmentFailed(
            "Prefect needs uv to start a flow in its own environment, and the worker has none on its PATH;"
            " start the worker with `prefect-ml up`, or put uv on its PATH."
        )
    environment = _realise(folder)
    # Prefect hands what a pull step leaves here to the `uv run` that starts the flow.
    os.environ["UV_PROJECT_ENVIRONMENT"] = str(environment.prefix)
    os.environ["UV_NO_SYNC"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if sources := import_path(folder):
        os.environ["PYTHONPATH"] = str(sources)
    return {"directory": str(folder), "digest": environment.digest}


def _realise(folder: Path) -> Environment:
    """Give the project's environment, if it is one that Prefect's `uv run` starts a flow in; it says nothing if not."""
    _require_prefect(folder)
    declared = declared_of(folder)
    if declared.kind != "uv":
        declared = declared_of(folder, kind="uv")  # says what of it only a conda tool can build
    environment = realise(declared, root=load_settings(cwd=folder).environments, report=_say)
    wanted, python = project_table(folder).get("requires-python"), environment.facts().python
    if not allows(wanted, python):
        raise EnvironmentFailed(
            f"{declared.origin} makes an environment with Python {python}, but {folder / 'pyproject.toml'} requires"
            f" Python {wanted}, so Prefect would not start the flow in it; make them agree."
        )
    return environment


def _folder(directory: str) -> Path:
    folder = Path(directory).expanduser().resolve()
    if not folder.is_dir():
        raise ProjectError(f"There is no project folder {folder}.")
    return folder


def _require_prefect(folder: Path) -> None:
    names = {requirement_name(line) for line in project_table(folder).get("dependencies", [])}
    if "prefect" not in names:
        raise EnvironmentFailed(
            f"{folder / 'pyproject.toml'} must list prefect itself in [project] dependencies:"
            " without it, Prefect starts the flow in the worker's environment."
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - Prefect shows what steps print
