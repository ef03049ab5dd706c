"""Building an environment with uv: from requirements, or from a project's uv.lock."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from ..errors import EnvironmentFailed
from .declared import Declared
from .facts import LOCKED, python_of_venv
from .pythons import make_venv
from .uv import Report, run_uv
from .wheel import own_wheel

__all__ = ["build_with_uv"]

# Development groups belong to who develops the project; the project itself is no part of a shared environment.
_EXPORT = (
    "export", "--frozen", "--no-default-groups", "--no-emit-project", "--no-emit-package", "prefect-ml",
    "--no-header", "--no-annotate", "--format", "requirements.txt", "--output-file",
)  # fmt: skip
_LOCAL = re.compile(r"^(?:-e\s|\.{0,2}/|file:|\S+ @ file:|\.).*", re.MULTILINE)


def build_with_uv(declared: Declared, home: Path, report: Report) -> None:
    """Build the environment at `home`, which must not exist yet.

    Raises:
        EnvironmentFailed: Something of it cannot be had.
    """
    requirements = _of_lock(declared) if declared.lock else declared.requirements
    make_venv(home, declared.python)
    install = ("pip", "install", "--python", str(home / "bin" / "python"))
    own = [str(own_wheel(cache=home.parent / "wheels"))] if declared.with_prefect_ml else []
    if own and (declared.hashes or declared.lock):
        # Before the rest, because --compile-bytecode below then compiles everything once.
        run_uv(*install, "--no-deps", *own, cwd=home.parent)
        own = []
    options = ["--require-hashes"] if declared.hashes else []
    options += [] if python_of_venv(home).startswith("3.6.") else ["--compile-bytecode"]  # it cannot compile for 3.6
    if declared.constraints:
        options += ["--constraint", str(_kept(home, "prefect-ml-constraints.txt", declared.constraints))]
    if declared.first:
        first = _kept(home, "prefect-ml-build-requirements.txt", declared.first)
        run_uv(*install, "-r", str(first), cwd=home.parent)
    rest = _kept(home, LOCKED, requirements)
    run_uv(*install, *options, "-r", str(rest), *own, cwd=home.parent, report=report)
    if declared.with_prefect_ml:
        run_uv("pip", "check", "--python", str(home / "bin" / "python"), cwd=home.parent)


def _of_lock(declared: Declared) -> str:
    """Give the requirements, with hashes, that a project's uv.lock stands for."""
    folder = declared.folder
    assert folder is not None
    try:
        run_uv("lock", "--check", "--project", str(folder), cwd=folder)
    except EnvironmentFailed as error:
        raise EnvironmentFailed(
            f"{declared.origin} is not the lock of the pyproject.toml beside it ({error}); run `uv lock` again."
        ) from error
    with tempfile.TemporaryDirectory(prefix="prefect-ml-lock-") as temporary:
        exported = Path(temporary, "requirements.txt")
        run_uv(*_EXPORT, str(exported), "--project", str(folder), cwd=folder)
        requirements = exported.read_text()
    if local := _LOCAL.search(requirements):
        raise EnvironmentFailed(
            f"it locks {local.group().split(' ;')[0]!r}, a folder of this machine, which no shared environment can"
            " hold; publish that package, or name it by its Git address"
        )
    return requirements


def _kept(home: Path, name: str, text: str) -> Path:
    file = home / name
    file.write_text(text)
    return file
