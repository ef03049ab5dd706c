"""What is to run in a container: a named image, a project's `Dockerfile`, or a declared Python on a base image."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from ...errors import EnvironmentFailed
from ...settings import load_settings
from ..declared import DECLARING, Declared, declared_of
from ..pythons import allows
from .context import context_digest

__all__ = ["BASE_ADVICE", "DeclaredImage", "declared_image", "declared_image_of_lock", "declares_only_dockerfile"]

DOCKERFILE = "Dockerfile"
BASE_ADVICE = (
    "set PREFECT_ML_DOCKER_BASE to an image of this machine that has the declared Python (`docker images` lists them),"
    " load the image with `docker load`, write a Dockerfile, or leave Docker out"
)
_VERSION = re.compile(r"\d+\.\d+")


@dataclass(frozen=True, kw_only=True)
class DeclaredImage:
    """An image in words, and how its containers are started. One of `image`, `context` and `python` is set.

    Attributes:
        origin: Where this was declared; for messages only.
        folder: The project; paths of volumes are relative to it.
        image: Name of an image.
        context: Folder with a Dockerfile.
        python: Python environment that is put on the image `base`.
        base: Image with a Python, for `python`.
        volumes: `HOST:CONTAINER` or `HOST:CONTAINER:ro`, each.
        environment: Names and values of variables; None for the value that the caller has.
        notes: What whoever asks should be told.
    """

    origin: str
    folder: Path
    image: str = ""
    context: Path | None = None
    python: Declared | None = None
    base: str = ""
    volumes: tuple[str, ...] = ()
    environment: tuple[tuple[str, str | None], ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def kind(self) -> Literal["docker"]:
        """What builds and runs it."""
        return "docker"

    @cached_property
    def digest(self) -> str:
        """Name of what it declares; needs no daemon. The digest of what is realised is that of the image."""
        python = self.python.digest if self.python else None
        context = context_digest(self.context) if self.context else None
        parts = [self.image, context, python, self.base]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def declared_image(
    folder: Path,
    *,
    image: str = "",
    volumes: Sequence[str] = (),
    environment: Sequence[tuple[str, str | None]] = (),
    python: Declared | None = None,
    base: str = "",
) -> DeclaredImage:
    """Say in which image a project runs: that of its docker_env, else its Dockerfile, else its declared Python.

    Args:
        folder: The project.
        image: Image of docker_env.
        volumes: Volumes of docker_env.
        environment: Variables of docker_env.
        python: The Python environment that counts where there is no Dockerfile; by default what the project declares.
        base: Image on which a Python environment is put; by default that of the setting `docker_base`, else the
            official slim image of the declared Python.

    Raises:
        EnvironmentFailed: It declares nothing of this.
        ProjectError: A file of the project cannot be read.
    """
    more = (tuple(volumes), tuple(environment))
    if image:
        return DeclaredImage(
            origin=f"docker_env of {folder}", folder=folder, image=image, volumes=more[0], environment=more[1]
        )
    if python is None and (folder / DOCKERFILE).is_file():
        return DeclaredImage(origin=str(folder / DOCKERFILE), folder=folder, context=folder)
    python = python or declared_of(folder, kind="uv")
    base = base or load_settings(cwd=folder).docker_base or f"python:{_short(python)}-slim"
    return DeclaredImage(origin=python.origin, folder=folder, python=python, base=base, notes=python.notes)


def declares_only_dockerfile(folder: Path) -> bool:
    """Whether a project has a Dockerfile and no other file that declares an environment."""
    return (folder / DOCKERFILE).is_file() and not any((folder / name).is_file() for name in DECLARING)


def declared_image_of_lock(
    lock: str,
    *,
    folder: Path,
    origin: str,
    volumes: Sequence[str] = (),
    environment: Sequence[tuple[str, str | None]] = (),
) -> DeclaredImage:
    """Read the lock of a realised image, `Facts.lock`, so that the same one runs again.

    Raises:
        EnvironmentFailed: It is the lock of something else.
    """
    words = dict(line[2:].split(": ", 1) for line in lock.splitlines() if line.startswith("# ") and ": " in line)
    image = words.get("image")
    if words.get("prefect-ml environment") != "docker" or not image:
        raise EnvironmentFailed(f"{origin} is no lock of an image; run the project again from its own files.")
    return DeclaredImage(
        origin=origin, folder=folder, image=image, volumes=tuple(volumes), environment=tuple(environment)
    )


def _short(python: Declared) -> str:
    running = ".".join(platform.python_version_tuple()[:2])
    if allows(python.python, platform.python_version()):
        return running
    named = _VERSION.search(python.python or "")
    return named.group() if named else running
