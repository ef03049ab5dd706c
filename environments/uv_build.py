"""Building an environment with uv: from requirements, or from a project's uv.lock."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import EnvironmentFailed
from .declared import Declared
from .facts import LOCKED, python_of_venv
from .pythons import make_venv
from .uv import Report, run_uv
from .wheel import own_wheel

__all__ = ["build_with_uv"]

# Development groups belong to who develops the project, and the project itself is no part of a shared environment.
_GROUPS = ("--frozen", "--no-default-groups")
_EXPORT = ("--no-emit-project", "--no-emit-package", "prefect-ml", "--no-header", "--no-annotate", "--quiet")
_SYNC = ("--no-install-project", "--no-install-package", "prefect-ml")
_LOCAL = re.compile(r"^(?:-e\s|\.{0,2}/|file:|\S+ @ file:|\.).*", re.MULTILINE)


def build_with_uv(declared: Declared, home: Path, report: Report) -> None:
    """Build the environment at `home`, which must not exist yet.

    Raises:
        EnvironmentFailed: Something of it cannot be had.
    """
    make_venv(home, declared.python)
    # uv cannot compile for 3.6.
    compiled = () if python_of_venv(home).startswith("3.6.") else ("--compile-bytecode",)
    if declared.lock:
        _synchronise(declared, home, compiled, report)
    else:
        _install(declared, home, compiled, report)
    if declared.with_prefect_ml:
        run_uv("pip", "check", "--python", _python(home), cwd=home.parent)


def _install(declared: Declared, home: Path, compiled: tuple[str, ...], report: Report) -> None:
    install = ("pip", "install", "--python", _python(home))
    own = _own(declared, home)
    if own and declared.hashes:
        run_uv(*install, "--no-deps", *compiled, *own, cwd=home.parent)
        own = []
    options = [*compiled, "--require-hashes"] if declared.hashes else [*compiled]
    if declared.constraints:
        options += ["--constraint", str(_kept(home, "prefect-ml-constraints.txt", declared.constraints))]
    if declared.first:
        first = _kept(home, "prefect-ml-build-requirements.txt", declared.first)
        run_uv(*install, "-r", str(first), cwd=home.parent)
    rest = _kept(home, LOCKED, declared.requirements)
    run_uv(*install, *options, "-r", str(rest), *own, cwd=home.parent, report=report)


def _synchronise(declared: Declared, home: Path, compiled: tuple[str, ...], report: Report) -> None:
    """Install what a project's uv.lock says, from where it says."""
    folder = declared.folder
    assert folder is not None
    project = ("--project", str(folder), "--python", _python(home))
    try:
        run_uv("lock", "--check", *project, cwd=folder)
    except EnvironmentFailed as error:
        reason = str(error).rstrip(".")
        raise EnvironmentFailed(
            f"{declared.origin} is not the lock of the pyproject.toml beside it ({reason}); run `uv lock` again."
        ) from error
    exported = home / LOCKED
    run_uv("export", *_GROUPS, *_EXPORT, *project, "--output-file", str(exported), cwd=folder)
    if local := _LOCAL.search(exported.read_text()):
        raise EnvironmentFailed(
            f"it locks {local.group().split(' ;')[0]!r}, a folder of this machine, which no shared environment can"
            " hold; publish that package, or name it by its Git address."
        )
    environ = {"UV_PROJECT_ENVIRONMENT": str(home)}
    run_uv("sync", *_GROUPS, *_SYNC, *compiled, *project, cwd=folder, report=report, environ=environ)
    if own := _own(declared, home):
        run_uv("pip", "install", "--python", _python(home), "--no-deps", *compiled, *own, cwd=home.parent)


def _own(declared: Declared, home: Path) -> list[str]:
    return [str(own_wheel(cache=home.parent / "wheels"))] if declared.with_prefect_ml else []


def _python(home: Path) -> str:
    return str(home / "bin" / "python")


def _kept(home: Path, name: str, text: str) -> Path:
    file = home / name
    file.write_text(text)
    return file
