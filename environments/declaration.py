"""What a project says about its environment: the packages, the Python, and where it says so."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import EnvironmentFailed, ProjectError
from .wheel import own_digest

__all__ = ["Declaration", "declaration_of", "project_folder", "project_table"]

_MARKS = ("requirements.lock", "requirements.txt", "pyproject.toml", "prefect.yaml", "MLproject")
_ELSEWHERE = re.compile(r"^(-r|-c|-e|--requirement|--constraint|--editable|\.{1,2}/|file:)")


@dataclass(frozen=True)
class Declaration:
    """An environment in words.

    Attributes:
        requirements: Text of a requirements file.
        python: Version or range that uv understands (`"3.11"`, `">=3.11,<3.14"`), or None for any.
        hashes: Every package must match a hash in `requirements`.
        with_prefect_ml: prefect-ml is installed too, from the running installation: alone after hash-locked
            requirements, which must hold what it needs, otherwise resolved together with them.
        origin: Where this was declared; for messages only.
    """

    requirements: str
    python: str | None
    hashes: bool
    with_prefect_ml: bool
    origin: str

    @cached_property
    def digest(self) -> str:
        """Name of this environment: equal for equal contents, wherever they were declared."""
        parts = [self.requirements, self.python, self.hashes, own_digest() if self.with_prefect_ml else None]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def declaration_of(folder: Path) -> Declaration:
    """Read the environment that a project declares: `requirements.lock`, else `requirements.txt`.

    Args:
        folder: The project. Its `.python-version`, else its pyproject's `requires-python`, says which Python; its
            pyproject's dependencies say whether prefect-ml is part of the environment.

    Raises:
        EnvironmentFailed: It declares none, or one that its own text does not hold.
        ProjectError: Its pyproject cannot be read.
    """
    file = next((folder / name for name in _MARKS[:2] if (folder / name).is_file()), None)
    if file is None:
        raise EnvironmentFailed(
            f"The project {folder} declares no environment: write its packages to requirements.txt,"
            " or lock them with `uv pip compile --generate-hashes pyproject.toml -o requirements.lock`."
        )
    requirements = file.read_text()
    _refuse_other_files(file, requirements)
    return Declaration(
        requirements=requirements,
        python=_python_of(folder),
        hashes="--hash=" in requirements,
        with_prefect_ml="prefect-ml" in _dependencies(folder),
        origin=str(file),
    )


def project_folder(path: Path) -> Path:
    """Find the project that a source file (or a folder) belongs to: the nearest folder that declares something.

    Raises:
        ProjectError: No folder above it does.
    """
    start = path.resolve()
    for folder in (start, *start.parents):
        if any((folder / mark).is_file() for mark in _MARKS):
            return folder
    raise ProjectError(f"{path} is in no project: no folder above it holds one of {', '.join(_MARKS)}.")


def project_table(folder: Path) -> dict[str, Any]:
    """Read the `[project]` table of a project's pyproject; empty where there is none.

    Raises:
        ProjectError: The file is not TOML.
    """
    file = folder / "pyproject.toml"
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text()).get("project", {})
    except ValueError as error:
        raise ProjectError(f"{file} cannot be read ({error}); mend the file.") from error


def _dependencies(folder: Path) -> set[str]:
    return {requirement_name(line) for line in project_table(folder).get("dependencies", [])}


def requirement_name(requirement: str) -> str:
    """Give the normal form of the package's name in one requirement."""
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return re.sub(r"[-_.]+", "-", found.group(1)).lower() if found else ""


def _python_of(folder: Path) -> str | None:
    pinned = folder / ".python-version"
    if pinned.is_file():
        lines = [line.strip() for line in pinned.read_text().splitlines()]
        return next((line for line in lines if line and not line.startswith("#")), None)
    return project_table(folder).get("requires-python")


def _refuse_other_files(file: Path, requirements: str) -> None:
    # The digest covers this text only, so an environment must not depend on text that is somewhere else.
    for line in requirements.splitlines():
        if _ELSEWHERE.match(line.strip()):
            raise EnvironmentFailed(
                f"{file} points at another file ({line.strip()!r}); compile everything into one requirements.lock."
            )
