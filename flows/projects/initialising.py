"""Writing a project's `prefect.yaml`: one deployment for each entry point."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...environments import Declared, DeclaredImage
from ...errors import ProjectError
from ...settings import load_settings
from .deployed import flow_path
from .descriptor import read_project
from .model import EntryPoint, Project
from .ready import declaration_for

__all__ = ["initialise"]

_POOL = "ml"
_HEAD = """\
# Made by `prefect-ml init`; yours to change. `prefect deploy --all` makes a deployment of each entry point.
"""
_HERE = "# Its build step reads the project and builds the environment that it declares; each run starts in that.\n"
_SYSTEM = "# Runs start in the interpreter of the worker: what it holds is not declared.\n"
_CONTAINERS = """\
# Its build step makes an image of the project, with its environment and prefect-ml; each run starts in a container.
# Set PREFECT_ML_STORE_URL and PREFECT_ML_ARTIFACT_ROOT when you deploy: a store in a container ends with it.
"""


def initialise(
    folder: Path,
    *,
    pool: str = _POOL,
    image: str | None = None,
    environment: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a `prefect.yaml` with one deployment for each entry point of a project.

    Args:
        folder: The project.
        pool: Name of the work pool that runs the deployments.
        image: For a pool whose runs are containers (Docker, Kubernetes, clouds): name of the image that is built, with
            its registry, where it is to be pushed to one.
        environment: "system" for a project that declares no environment and runs in the worker's interpreter.
        overwrite: Replace a file that is there.

    Returns:
        The file.

    Raises:
        ProjectError: The project cannot be read, offers nothing to run, or has such a file.
        EnvironmentFailed: It declares no environment and none was named, or one that cannot be built.
    """
    import yaml

    file = folder / "prefect.yaml"
    if file.exists() and not overwrite:
        raise ProjectError(f"{file} exists; edit it, or write it anew with --overwrite.")
    project = read_project(folder, deployments=False)
    if not project.entry_points:
        raise ProjectError(f"{folder} has nothing to deploy: write an MLproject file, a flow, or a script.")
    declared, points = declaration_for(project, environment), list(_offered(project))
    if image is None:
        head = _HEAD + (_SYSTEM if environment == "system" else _HERE)
        content: dict[str, Any] = {"deployments": [_deployment(point, pool, environment) for point in points]}
    else:
        head, drivers = _HEAD + _CONTAINERS, _drivers(_packable(declared))
        content = _for_containers(points, pool, image, environment, drivers)
    text = yaml.safe_dump({"name": _slug(project.name), **content}, sort_keys=False, allow_unicode=True, width=120)
    unfinished = file.with_name(".prefect.yaml.new")
    try:
        unfinished.write_text(
            head + text.replace("\ndeployments:", "\n\ndeployments:").replace("\n- name", "\n\n- name")
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


def _packable(declared: Declared | DeclaredImage) -> Declared:
    if isinstance(declared, DeclaredImage):
        raise ProjectError(
            f"{declared.origin} declares an image, and a container of a work pool starts no further ones: leave"
            " --image out, and the worker of a process work pool starts it."
        )
    return declared


def _deployment(point: EntryPoint, pool: str, environment: str | None) -> dict[str, Any]:
    is_own = point.flow and environment is None  # starts in the environment, and not in the worker's
    return {
        "name": _slug(point.name),
        "entrypoint": point.flow or flow_path(point.name, environment),
        **(_of_flow(pool) if is_own else _of_command(pool, environment)),
    }


def _for_containers(
    points: list[EntryPoint], pool: str, image: str, environment: str | None, packages: list[str]
) -> dict[str, Any]:
    build: dict[str, Any] = {"id": "build_image", "name": image}
    build |= {"environment": environment} if environment else {}
    build |= {"packages": packages} if packages else {}
    return {
        "build": [{"prefect_ml.flows.projects.work_pools.build_image": build}],
        **({"push": [_push()]} if _is_in_registry(image) else {}),
        "pull": [_go_to("{{ build_image.directory }}")],
        "deployments": [_in_container(point, pool, environment) for point in points],
    }


def _in_container(point: EntryPoint, pool: str, environment: str | None) -> dict[str, Any]:
    variables = {name: f"{{{{ ${name} }}}}" for name in ("PREFECT_ML_STORE_URL", "PREFECT_ML_ARTIFACT_ROOT")}
    return {
        "name": _slug(point.name),
        "version": "{{ build_image.version }}",
        "entrypoint": point.flow or flow_path(point.name, environment),
        "work_pool": {"name": pool, "job_variables": {"image": "{{ build_image.image }}", "env": variables}},
    }


def _push() -> dict[str, Any]:
    names = {"image_name": "{{ build_image.image_name }}", "tag": "{{ build_image.tag }}"}
    return {"prefect_docker.deployments.steps.push_docker_image": {"requires": "prefect-docker", **names}}


def _is_in_registry(image: str) -> bool:
    host, slash, _ = image.partition("/")
    return bool(slash) and (host == "localhost" or "." in host or ":" in host)


def _drivers(declared: Declared) -> list[str]:
    """Give what prefect-ml needs in an image for the store of this machine, beside its own requirements."""
    is_server = load_settings().store_url.startswith("postgresql")
    return ["psycopg[binary]"] if is_server and not declared.with_prefect_ml else []


def _of_command(pool: str, environment: str | None) -> dict[str, Any]:
    more = {"environment": environment} if environment else {}
    return {
        "version": "{{ project.version }}",
        "build": [{"prefect_ml.flows.projects.deployed.check_project": {"id": "project", **more}}],
        "pull": [_go_to("{{ project.directory }}")],
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


def _go_to(directory: str) -> dict[str, Any]:
    return {"prefect.deployments.steps.set_working_directory": {"directory": directory}}


def _slug(name: str) -> str:
    return re.sub(r"[/%&><\s]+", "-", name).strip("-") or "project"
