"""Deployments to work pools whose runs are containers: Docker, Kubernetes, and those of clouds.

The build step puts a project, the environment that it declares, and prefect-ml into one image; a run starts in it.

    build:
    - prefect_ml.flows.projects.work_pools.build_image:
        id: build_image
        name: registry.example.com/team/wine
    pull:
    - prefect.deployments.steps.set_working_directory:
        directory: "{{ build_image.directory }}"
    deployments:
    - name: train
      entrypoint: prefect_ml.flows.projects.deployed.train
      work_pool:
        name: containers
        job_variables:
          image: "{{ build_image.image }}"
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...environments import Declared, DeclaredImage
from ...environments.docker import DIRECTORY, ProjectImage, build_project_image, declared_image, runtime_declared
from ...errors import EnvironmentFailed, ProjectError
from ...settings import Settings, load_settings
from .descriptor import read_project
from .model import Project
from .ready import declaration_for
from .sources import Fetched, fetch

__all__ = ["build_image"]

_FACTS = ("uri", "subfolder", "version", "commit", "branch", "remote", "dirty", "inside")


def build_image(
    directory: str = ".",
    name: str = "prefect-ml/deployed",
    base: str = "",
    packages: Sequence[str] = (),
    environment: str | None = None,
) -> dict[str, Any]:
    """Build step: make an image of a project, with the environment that it declares and prefect-ml.

    Args:
        directory: The project's folder.
        name: Name of the image, with its registry, where it is to be pushed to one.
        base: Image with a Python that everything is put on; by default that of the setting `docker_base`, else the
            official slim image of the declared Python.
        packages: What prefect-ml needs beside its own requirements: the driver of a database, such as
            `psycopg[binary]`.
        environment: "system" for a project that declares nothing and runs beside prefect-ml.

    Returns:
        `image`, and its parts `image_name` and `tag`; `directory` of the project in it; `digest` of the environment;
        `version`, the commit or the empty text.

    Raises:
        ProjectError: The project cannot be read.
        EnvironmentFailed: The image cannot be built.
    """
    settings = load_settings()
    fetched = _fetched(directory, settings)
    wanted = _wanted(fetched, name, base, packages, environment)
    tag = build_project_image(wanted, root=settings.environments, report=_say)
    return {
        "image": f"{name}:{tag}",
        "image_name": name,
        "tag": tag,
        "directory": str(DIRECTORY),
        "digest": (wanted.python or wanted.runtime).digest,
        "version": fetched.commit or "",
    }


def _fetched(directory: str, settings: Settings) -> Fetched:
    fetched = fetch(Path(directory).expanduser().resolve(), settings=settings)
    if fetched.dirty:
        _say(f"The image gets {fetched.uri} as it is, with changes that are in no commit.")
    return fetched


def _wanted(fetched: Fetched, name: str, base: str, packages: Sequence[str], environment: str | None) -> ProjectImage:
    """Say what the image is to hold."""
    python = _declared(read_project(fetched.folder), environment)
    if python and python.with_prefect_ml and packages:
        raise ProjectError(f"{python.origin} declares prefect-ml itself; list {', '.join(packages)} there, too.")
    runtime = python if python and python.with_prefect_ml else runtime_declared(packages)
    return ProjectImage(
        folder=fetched.folder,
        name=name,
        base=declared_image(fetched.folder, python=python or runtime, base=base).base,
        runtime=runtime,
        python=python,
        facts=_facts(fetched),
    )


def _declared(project: Project, environment: str | None) -> Declared | None:
    """Say what a container of a work pool can hold of what a project declares."""
    if environment == "system":
        return None
    declared = declaration_for(project, environment)
    if isinstance(declared, DeclaredImage):
        raise EnvironmentFailed(
            f"{declared.origin} declares an image, and a container of a work pool starts no further ones: deploy the"
            " project to a process work pool, or declare its packages in a file such as requirements.txt."
        )
    if declared.kind == "conda":
        found = declaration_for(project, "uv")  # says what of it only a conda tool can build
        assert isinstance(found, Declared)
        return found
    return declared


def _facts(fetched: Fetched) -> dict[str, Any]:
    found = asdict(fetched)
    return {name: found[name] for name in _FACTS}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - Prefect shows what steps print
