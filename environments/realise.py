"""Making declared environments real with uv: one folder per digest, built once, whoever asks and how many at once."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EnvironmentFailed
from .declaration import Declaration
from .uv import Report, run_uv
from .wheel import own_wheel

__all__ = ["Environment", "marker_of", "realise"]

_MARKER = "prefect-ml-environment.json"


@dataclass(frozen=True)
class Environment:
    """A realised environment on this host."""

    prefix: Path
    digest: str

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.prefix / "bin" / "python"


def realise(declaration: Declaration, *, root: Path, report: Report | None = None) -> Environment:
    """Give the environment that a declaration describes; build it if this host has none yet.

    Args:
        declaration: What it must hold.
        root: Folder of all environments, one sub-folder per digest.
        report: Called with one line of text per step of a build, so that no wait is silent.

    Raises:
        EnvironmentFailed: It cannot be built; the message names what could not be had, and nothing is left behind.
    """
    environment = Environment(root.absolute() / declaration.digest, declaration.digest)
    if _is_whole(environment):
        return environment
    with _only_builder(environment, report or _silent):
        if not _is_whole(environment):
            _build(declaration, environment, report or _silent)
    return environment


def marker_of(prefix: Path) -> dict[str, Any] | None:
    """Read what the environment at `prefix` says of itself; None where prefect-ml has not (fully) built it."""
    try:
        return json.loads((prefix / _MARKER).read_text())
    except (OSError, ValueError):
        return None


def _is_whole(environment: Environment) -> bool:
    # The interpreter is a link: it dangles when the Python that it was made from has been removed.
    return marker_of(environment.prefix) is not None and environment.python.exists()


@contextmanager
def _only_builder(environment: Environment, report: Report) -> Generator[None]:
    lock = environment.prefix.with_suffix(".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise EnvironmentFailed(
            f"The folder {lock.parent} cannot be written ({error.strerror}); set PREFECT_ML_HOME to one that can."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"Waiting for environment {environment.digest}, which another process is building")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(declaration: Declaration, environment: Environment, report: Report) -> None:
    report(f"Building environment {environment.digest} for {declaration.origin}")
    shutil.rmtree(environment.prefix, ignore_errors=True)  # what a killed build left
    try:
        _install(declaration, environment, report)
        _mark(declaration, environment)
    except EnvironmentFailed as error:
        shutil.rmtree(environment.prefix, ignore_errors=True)
        raise EnvironmentFailed(f"The environment of {declaration.origin} cannot be built: {error}") from error
    except BaseException:
        shutil.rmtree(environment.prefix, ignore_errors=True)
        raise


def _install(declaration: Declaration, environment: Environment, report: Report) -> None:
    prefix, root = environment.prefix, environment.prefix.parent
    run_uv("venv", str(prefix), "--no-project", "--quiet", "--python", _interpreter(declaration), cwd=root)
    requirements = prefix / "prefect-ml-requirements.txt"
    requirements.write_text(declaration.requirements)
    install = ("pip", "install", "--python", str(environment.python))
    own = [str(own_wheel(cache=root / "wheels"))] if declaration.with_prefect_ml else []
    locked = ["--require-hashes"] if declaration.hashes else []
    if own and declaration.hashes:
        # Before the rest, because --compile-bytecode below then compiles everything once.
        run_uv(*install, "--no-deps", *own, cwd=root)
        own = []
    run_uv(*install, "--compile-bytecode", *locked, "-r", str(requirements), *own, cwd=root, report=report)
    if declaration.with_prefect_ml:
        run_uv("pip", "check", "--python", str(environment.python), cwd=root)


def _interpreter(declaration: Declaration) -> str:
    """Prefer the running Python where the declaration allows it: it is here, and needs no download."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    running = ".".join(map(str, sys.version_info[:3]))
    wanted = declaration.python or ""
    try:
        allowed = SpecifierSet(wanted).contains(running)
    except InvalidSpecifier:
        allowed = f"{running}.".startswith(f"{wanted}.")
    return getattr(sys, "_base_executable", sys.executable) if allowed else wanted


def _mark(declaration: Declaration, environment: Environment) -> None:
    text = json.dumps({"digest": environment.digest, "origin": declaration.origin}, indent=2)
    unfinished = environment.prefix / f"{_MARKER}.{os.getpid()}"
    unfinished.write_text(text + "\n")
    unfinished.replace(environment.prefix / _MARKER)


def _silent(_: str) -> None:
    """Report nothing."""
