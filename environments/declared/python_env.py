"""`python_env.yaml`: a Python, what builds packages, and the packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import ProjectError
from .model import Declared
from .pyproject import python_of
from .requirements import Requirements, of_lines, without_own
from .yaml_text import list_of, read_yaml

__all__ = ["from_python_env", "python_of_python_env"]

_FIELDS = ("python", "build_dependencies", "dependencies")


def from_python_env(file: Path, *, folder: Path) -> tuple[Declared, frozenset[Path]]:
    """Read the file; the second value are the files that it includes.

    Args:
        file: The file; requirement files that it names are relative to it.
        folder: The project, which says which Python where the file does not.

    Raises:
        ProjectError: It cannot be read.
        EnvironmentFailed: It refers to a file that is not there, or to code that is no package of an index.
    """
    whole = _read(file)
    first = _requirements(whole, "build_dependencies", file)
    rest = _requirements(whole, "dependencies", file)
    requirements, own = without_own(rest.text, origin=str(file))
    declared = Declared(
        origin=str(file),
        python=python_of_python_env(file) or python_of(folder),
        requirements=requirements,
        constraints=first.constraints + rest.constraints,
        first=first.text,
        hashes=rest.hashes,
        with_prefect_ml=own,
    )
    return declared, first.files | rest.files


def python_of_python_env(file: Path) -> str | None:
    """Give the Python that the file says."""
    python = _read(file).get("python") or None
    if python is not None and not isinstance(python, str):
        raise ProjectError(f"{file}: python must be a version, such as 3.11.")
    return python


def _read(file: Path) -> dict[str, Any]:
    whole = read_yaml(file)
    if unknown := sorted(set(whole) - set(_FIELDS)):
        raise ProjectError(f"{file} has no field {unknown[0]!r}; it has {', '.join(_FIELDS)}.")
    return whole


def _requirements(whole: dict[str, Any], name: str, file: Path) -> Requirements:
    lines = list_of(whole, name, origin=str(file))
    if wrong := next((line for line in lines if not isinstance(line, str)), None):
        raise ProjectError(f"{file}: {name} lists {wrong!r}, which is no requirement.")
    return of_lines(lines, folder=file.parent, origin=str(file))
