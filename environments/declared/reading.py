"""What a project declares: what its `MLproject` names, or else the most exact of the files that it has."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from ...errors import EnvironmentFailed, ProjectError
from .conda_file import from_conda, python_of_conda
from .model import KINDS, Declared, Kind
from .pyproject import dependencies_of, from_pyproject, from_uv_lock, python_of
from .python_env import from_python_env, python_of_python_env
from .requirements import read_requirements, without_own

__all__ = ["DECLARING", "declared_of", "declared_of_lock", "project_folder"]

# What says most exactly which packages are meant goes first.
DECLARING = ("requirements.lock", "uv.lock", "python_env.yaml", "conda.yaml", "requirements.txt", "pyproject.toml")
_NAMED = re.compile(r"""^(python_env|conda_env):[ \t]*["']?([^\s"'#]+)""", re.MULTILINE)
_MARKS = (*DECLARING, "prefect.yaml", "MLproject")


def declared_of(
    folder: Path, *, kind: str | None = None, python_env: Path | None = None, conda_env: Path | None = None
) -> Declared:
    """Read the environment that a project declares.

    Without a file that its `MLproject` names, the first of these counts, and the notes say so where there are
    several: `requirements.lock`, `uv.lock` with its pyproject, `python_env.yaml`, `conda.yaml`, `requirements.txt`,
    the dependencies in `pyproject.toml`.

    Args:
        folder: The project. Its `.python-version`, else its pyproject's `requires-python`, says which Python where the
            declaring file does not; its pyproject's dependencies say whether prefect-ml is part of the environment.
        kind: "uv", "conda" or "system" in place of what the project would get by itself.
        python_env: The file that its `MLproject` names as python_env; by default it is looked up there.
        conda_env: The file that its `MLproject` names as conda_env; likewise.

    Raises:
        EnvironmentFailed: It declares none, or one that cannot be built here.
        ProjectError: A file of the project cannot be read, or there is no such kind.
    """
    if kind not in (None, *KINDS):
        raise ProjectError(f"There are no environments of kind {kind!r}; the kinds are {', '.join(KINDS)} and docker.")
    if python_env is None and conda_env is None:
        python_env, conda_env = _named_by_descriptor(folder)
    if kind == "system":
        return _at_hand(folder, python_env, conda_env)
    chosen = cast("Kind | None", kind)
    declared = _named(folder, chosen, python_env, conda_env) or _found(folder, chosen)
    own = declared.with_prefect_ml or "prefect-ml" in dependencies_of(folder)
    return declared if own == declared.with_prefect_ml else replace(declared, with_prefect_ml=own)


def declared_of_lock(lock: str, *, origin: str) -> Declared:
    """Read the lock of a realised environment, `Facts.lock`, so that the same one can be built again.

    Raises:
        EnvironmentFailed: It is the lock of something else.
    """
    words = dict(line[2:].split(": ", 1) for line in lock.splitlines() if line.startswith("# ") and ": " in line)
    kind, python = words.get("prefect-ml environment"), words.get("python") or None
    own = words.get("with prefect-ml") == "yes"
    if kind == "conda":
        return Declared(kind="conda", origin=origin, conda=lock, with_prefect_ml=own)
    if kind not in ("uv", "system"):
        raise EnvironmentFailed(f"{origin} is no lock of an environment; run the project again from its own files.")
    return Declared(origin=origin, requirements=lock, python=python, hashes="--hash=" in lock, with_prefect_ml=own)


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


def _named_by_descriptor(folder: Path) -> tuple[Path | None, Path | None]:
    """Give the files that a project's `MLproject` names as python_env and as conda_env."""
    file = next((file for file in folder.glob("[Mm]*") if file.name.lower() == "mlproject" and file.is_file()), None)
    words = dict(_NAMED.findall(file.read_text(errors="replace"))) if file else {}
    python_env, conda_env = words.get("python_env"), words.get("conda_env")
    return folder / python_env if python_env else None, folder / conda_env if conda_env else None


def _named(folder: Path, kind: Kind | None, python_env: Path | None, conda_env: Path | None) -> Declared | None:
    if conda_env is not None:
        return from_conda(conda_env, folder=folder, kind=kind)[0]
    if python_env is None:
        return None
    if kind == "conda":
        raise EnvironmentFailed(f"{python_env} declares no conda environment; leave the kind out, or say uv.")
    return from_python_env(python_env, folder=folder)[0]


def _found(folder: Path, kind: Kind | None) -> Declared:
    names = [name for name in DECLARING if (folder / name).is_file()]
    if kind == "conda":
        if "conda.yaml" not in names:
            raise EnvironmentFailed(f"The project {folder} has no conda.yaml; leave the kind out, or write one.")
        names = ["conda.yaml"]
    for position, name in enumerate(names):
        if read := _read(folder, name, kind):
            declared, included = read
            return replace(declared, notes=(*declared.notes, *_unused(folder, name, names[position + 1 :], included)))
    raise EnvironmentFailed(
        f"The project {folder} declares no environment: write its packages to requirements.txt,"
        " or lock them with `uv pip compile --generate-hashes pyproject.toml -o requirements.lock`;"
        " or run it in the environment at hand, the kind `system` (`--environment system`)."
    )


def _read(folder: Path, name: str, kind: Kind | None) -> tuple[Declared, frozenset[Path]] | None:
    file = folder / name
    if name == "python_env.yaml":
        return from_python_env(file, folder=folder)
    if name == "conda.yaml":
        return from_conda(file, folder=folder, kind=kind)
    if name.startswith("requirements."):
        return _from_requirements(file)
    found = from_uv_lock(folder) if name == "uv.lock" else from_pyproject(folder)
    return (found, frozenset()) if found else None


def _from_requirements(file: Path) -> tuple[Declared, frozenset[Path]]:
    read = read_requirements(file)
    text, own = without_own(read.text, origin=str(file))
    declared = Declared(
        origin=str(file),
        requirements=text,
        python=python_of(file.parent),
        hashes=read.hashes,
        with_prefect_ml=own,
        constraints=read.constraints,
    )
    return declared, read.files


def _unused(folder: Path, used: str, others: list[str], included: frozenset[Path]) -> Iterator[str]:
    """Say which files are passed over; a pyproject says other things too, so it is not."""
    passed = [name for name in others if name != "pyproject.toml" and (folder / name).resolve() not in included]
    if passed:
        yield f"{folder / used} declares the environment; {', '.join(passed)} beside it counts for nothing."


def _at_hand(folder: Path, python_env: Path | None, conda_env: Path | None) -> Declared:
    words = f"{sys.executable} {sys.prefix} {platform.python_version()} {platform.platform()}"
    return Declared(
        kind="system",
        origin=str(folder),
        python=_python_said(folder, python_env, conda_env),
        interpreter=words,
    )


def _python_said(folder: Path, python_env: Path | None, conda_env: Path | None) -> str | None:
    named = python_env is not None or conda_env is not None
    first = None if named else next((name for name in DECLARING if (folder / name).is_file()), None)
    if first == "python_env.yaml":
        python_env = folder / first
    if first == "conda.yaml":
        conda_env = folder / first
    if conda_env is not None:
        return python_of_conda(conda_env) or python_of(folder)
    return (python_of_python_env(python_env) if python_env is not None else None) or python_of(folder)
