"""What a pyproject.toml says about packages, alone or with a uv.lock beside it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from ...errors import EnvironmentFailed, ProjectError
from .model import Declared

__all__ = ["dependencies_of", "from_pyproject", "from_uv_lock", "project_table", "python_of", "requirement_name"]

_POETRY = "it uses Poetry's own table; write [project] dependencies, or export a requirements.lock"


def from_uv_lock(folder: Path) -> Declared | None:
    """Read a project that uv has locked.

    Raises:
        ProjectError: Its pyproject cannot be read.
    """
    lock, file = folder / "uv.lock", folder / "pyproject.toml"
    if not (lock.is_file() and file.is_file()):
        return None
    whole = _tables(folder)
    project = whole.get("project", {})
    asked = {key: project.get(key) for key in ("name", "version", "requires-python", "dependencies")}
    optional = [project.get("optional-dependencies"), whole.get("dependency-groups")]
    words = json.dumps([asked, optional, whole.get("tool", {}).get("uv")], sort_keys=True, default=str)
    return Declared(
        origin=str(lock),
        python=python_of(folder),
        with_prefect_ml="prefect-ml" in dependencies_of(folder),
        lock=f"{words}\n{lock.read_text()}",
        folder=folder,
    )


def from_pyproject(folder: Path) -> Declared | None:
    """Read what a pyproject declares by itself; None where it declares nothing.

    Raises:
        EnvironmentFailed: It declares packages in a way that nothing but its own tool can read.
        ProjectError: It cannot be read.
    """
    file = folder / "pyproject.toml"
    project, tool = project_table(folder), _tables(folder).get("tool", {})
    if not project and "dependencies" not in tool.get("poetry", {}):
        return None
    lines: list[str] = project.get("dependencies", [])
    problem = _POETRY if not project else None
    if "dependencies" in project.get("dynamic", ()):
        problem = "its dependencies are dynamic; lock it with `uv lock`"
    names = {requirement_name(line) for line in lines}
    if elsewhere := sorted((set(tool.get("uv", {}).get("sources", {})) & names) - {"prefect-ml"}):
        problem = f"its [tool.uv.sources] says where {elsewhere[0]} is; lock it with `uv lock`"
    if problem:
        raise EnvironmentFailed(f"{file} does not say all about its environment: {problem}.")
    return Declared(
        origin=str(file),
        python=python_of(folder),
        with_prefect_ml="prefect-ml" in names,
        requirements="".join(f"{line}\n" for line in lines if requirement_name(line) != "prefect-ml"),
    )


def project_table(folder: Path) -> dict[str, Any]:
    """Read the `[project]` table of a project's pyproject; empty where there is none.

    Raises:
        ProjectError: The file is not TOML.
    """
    return _tables(folder).get("project", {})


def dependencies_of(folder: Path) -> set[str]:
    """Give the names of the packages that a project's pyproject asks for."""
    return {requirement_name(line) for line in project_table(folder).get("dependencies", [])}


def requirement_name(requirement: str) -> str:
    """Give the normal form of the package's name in one requirement."""
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return re.sub(r"[-_.]+", "-", found.group(1)).lower() if found else ""


def python_of(folder: Path) -> str | None:
    """Give the Python that a project's `.python-version`, or else its pyproject, says."""
    pinned = folder / ".python-version"
    if pinned.is_file():
        lines = [line.strip() for line in pinned.read_text().splitlines()]
        return next((line for line in lines if line and not line.startswith("#")), None)
    return project_table(folder).get("requires-python")


def _tables(folder: Path) -> dict[str, Any]:
    file = folder / "pyproject.toml"
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text())
    except ValueError as error:
        raise ProjectError(f"{file} cannot be read ({error}); mend the file.") from error
