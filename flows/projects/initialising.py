"""Writing a project's `prefect.yaml`: one deployment for each entry point."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import ProjectError
from .deployed import flow_path
from .descriptor import read_project
from .model import EntryPoint, Project

__all__ = ["initialise"]

_POOL = "ml"
_HEAD = """\
# Made by `prefect-ml init`; yours to change. `prefect deploy --all` makes a deployment of each entry point.
# Its build step reads the project and builds the environment that it declares; each run starts in that.
"""


def initialise(folder: Path, *, pool: str = _POOL, overwrite: bool = False) -> Path:
    """Write a `prefect.yaml` with one deployment for each entry point of a project.

    Args:
        folder: The project.
        pool: Name of the work pool that runs the deployments.
        overwrite: Replace a file that is there.

    Returns:
        The file.

    Raises:
        ProjectError: The project cannot be read, offers nothing to run, or has such a file.
    """
    import yaml

    file = folder / "prefect.yaml"
    if file.exists() and not overwrite:
        raise ProjectError(f"{file} exists; edit it, or write it anew with --overwrite.")
    project = read_project(folder, deployments=False)
    if not project.entry_points:
        raise ProjectError(f"{folder} has nothing to deploy: write an MLproject file, a flow, or a script.")
    content = {"name": _slug(project.name), "deployments": [_deployment(point, pool) for point in _offered(project)]}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    unfinished = file.with_name(".prefect.yaml.new")
    try:
        unfinished.write_text(
            _HEAD + text.replace("\ndeployments:", "\n\ndeployments:").replace("\n- name", "\n\n- name")
        )
        unfinished.replace(file)
    except OSError as error:
        raise ProjectError(f"{file} cannot be written ({error.strerror}); make the folder writable.") from error
    return file


def _offered(project: Project) -> Iterator[EntryPoint]:
    """Give what a deployment makes sense of: with a descriptor what it names, without one everything."""
    points = project.entry_points.values()
    named = [point for point in points if point.parameters or project.descriptor]
    yield from named or points


def _deployment(point: EntryPoint, pool: str) -> dict[str, Any]:
    return {
        "name": _slug(point.name),
        "entrypoint": point.flow or flow_path(point.name),
        **(_of_flow(pool) if point.flow else _of_command(pool)),
    }


def _of_command(pool: str) -> dict[str, Any]:
    return {
        "version": "{{ project.version }}",
        "build": [{"prefect_ml.flows.projects.deployed.check_project": {"id": "project"}}],
        "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": "{{ project.directory }}"}}],
        "work_pool": {"name": pool},
    }


def _of_flow(pool: str) -> dict[str, Any]:
    steps = "prefect_ml.environments.steps"
    return {
        "version": "{{ environment.digest }}",
        "build": [{f"{steps}.declare_environment": {"id": "environment"}}],
        "pull": [{f"{steps}.enter_project": {"directory": "{{ environment.directory }}"}}],
        "work_pool": {"name": pool, "job_variables": {"env": "{{ environment.job_env }}"}},
    }


def _slug(name: str) -> str:
    return re.sub(r"[/%&><\s]+", "-", name).strip("-") or "project"
