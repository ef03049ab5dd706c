"""One door to environments of every kind: what a project declares, and the same made real."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from .declared import Declared
from .declared import declared_of as python_of
from .docker import DeclaredImage, DockerEnvironment, declared_image, declares_only_dockerfile, realise_image
from .environment import Environment
from .realise import realise as realise_here
from .uv import Report

__all__ = ["declared_of", "realise"]


def declared_of(
    folder: Path,
    *,
    kind: str | None = None,
    python_env: Path | None = None,
    conda_env: Path | None = None,
    image: str = "",
    volumes: Sequence[str] = (),
    environment: Sequence[tuple[str, str | None]] = (),
) -> Declared | DeclaredImage:
    """Read the environment that a project declares: what its `MLproject` names, or else the files that it has.

    Args:
        folder: The project.
        kind: "uv", "conda", "docker" or "system" in place of what the project would get by itself.
        python_env: The file that its `MLproject` names as python_env.
        conda_env: The file that its `MLproject` names as conda_env.
        image: Image of its docker_env.
        volumes: Volumes of its docker_env.
        environment: Variables of its docker_env.

    Raises:
        EnvironmentFailed: It declares none, or one that cannot be built here.
        ProjectError: A file of the project cannot be read, or there is no such kind.
    """
    named = python_env or conda_env
    by_itself = image or (named is None and declares_only_dockerfile(folder))
    if kind != "docker" and not (kind is None and by_itself):
        return python_of(folder, kind=kind, python_env=python_env, conda_env=conda_env)
    python = python_of(folder, kind="uv", python_env=python_env, conda_env=conda_env) if named else None
    return declared_image(folder, image=image, volumes=volumes, environment=environment, python=python)


@overload
def realise(declared: Declared, *, root: Path, report: Report | None = None) -> Environment: ...
@overload
def realise(declared: DeclaredImage, *, root: Path, report: Report | None = None) -> DockerEnvironment: ...
@overload
def realise(
    declared: Declared | DeclaredImage, *, root: Path, report: Report | None = None
) -> Environment | DockerEnvironment: ...
def realise(
    declared: Declared | DeclaredImage, *, root: Path, report: Report | None = None
) -> Environment | DockerEnvironment:
    """Give the environment that a declaration describes; build it if this machine has none yet.

    Args:
        declared: What it must hold.
        root: Folder of all environments, one sub-folder per digest.
        report: Called with each of the declaration's notes, and with one line of text per step of a build, so that no
            wait is silent.

    Raises:
        EnvironmentFailed: It cannot be built; the message names what could not be had, and nothing is left behind.
    """
    if isinstance(declared, DeclaredImage):
        return realise_image(declared, root=root, report=report)
    return realise_here(declared, root=root, report=report)
