"""Which Python an environment is made with: the declared one, and no other."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from ..errors import EnvironmentFailed
from .uv import child_environ, run_uv, uv_program

__all__ = ["allows", "make_venv", "require_python"]

_OLDEST = Version("3.6")  # the oldest that uv makes environments with
_NAMED = re.compile(r"={0,3}\s*(\d+(?:\.\d+)*)(?:\.\*)?")
# A download that cannot start says so at once; nobody waits for the fourth attempt of a machine without a network.
_DOWNLOAD = {"UV_HTTP_RETRIES": "0", "UV_HTTP_CONNECT_TIMEOUT": "10", "UV_PYTHON_PREFERENCE": "only-managed"}


def allows(wanted: str | None, version: str) -> bool:
    """Whether a declared Python, such as `3.11` or `>=3.9,<3.12`, admits a version."""
    if wanted is None:
        return True
    if named := _NAMED.fullmatch(wanted.strip()):
        return f"{version}.".startswith(f"{named.group(1)}.")
    try:
        return SpecifierSet(wanted).contains(version)
    except InvalidSpecifier:
        return False


def require_python(wanted: str | None, *, origin: str) -> None:
    """Refuse the interpreter at hand where another one is declared.

    Raises:
        EnvironmentFailed: It is another one.
    """
    running = platform.python_version()
    if not allows(wanted, running):
        raise EnvironmentFailed(
            f"{origin} declares Python {wanted}, and the interpreter at hand ({sys.executable}) is Python {running};"
            " leave the kind `system` out, or start prefect-ml with that Python."
        )


def make_venv(prefix: Path, wanted: str | None) -> None:
    """Make an empty virtual environment with the declared Python; uv downloads one where the network allows.

    Raises:
        EnvironmentFailed: It is not installed and cannot be had; the message names those that are installed.
    """
    make = ("venv", str(prefix), "--no-project", "--quiet", "--python")
    running = platform.python_version()
    if allows(wanted, running):  # it is here, and surely works
        run_uv(*make, str(getattr(sys, "_base_executable", sys.executable)), cwd=prefix.parent)
        return
    assert wanted is not None
    installed = _installed()
    fitting = [version for version in installed if allows(wanted, version)]
    if usable := sorted((version for version in fitting if Version(version) >= _OLDEST), key=Version):
        run_uv(*make, str(installed[usable[-1]]), cwd=prefix.parent)
        return
    if fitting or _is_too_old(wanted):
        raise EnvironmentFailed(
            f"it declares Python {wanted}, but uv makes environments with Python {_OLDEST} and newer;"
            " declare a newer one, or run the project in Docker."
        )
    try:  # of those that are here none fits, and uv would take a shim of pyenv's for one
        run_uv(*make, _NAMED.sub(r"\1", wanted.strip()), cwd=prefix.parent, environ=_DOWNLOAD)
    except EnvironmentFailed as error:
        usable = {version for version in (running, *installed) if Version(version) >= _OLDEST}
        named = ", ".join(sorted(usable, key=Version))
        raise EnvironmentFailed(
            f"it declares Python {wanted}, which is not installed, and uv cannot download it"
            f" ({_why(error)}); installed are {named}: install it, or declare one"
            " of these."
        ) from error


def _why(error: EnvironmentFailed) -> str:
    """Give the cause without the address of the download."""
    said = str(error)
    return said.rpartition(": ")[2] if said.startswith("Failed to download") else said


def _is_too_old(wanted: str) -> bool:
    named = _NAMED.fullmatch(wanted.strip())
    return named is not None and "." in named.group(1) and Version(named.group(1)) < _OLDEST


def _installed() -> dict[str, Path]:
    """Find interpreters by version: those that uv knows, and pyenv's, whose shims uv cannot look behind."""
    command = [uv_program(), "python", "list", "--only-installed", "--output-format", "json"]
    done = subprocess.run(command, env=child_environ(), capture_output=True, text=True, check=False)
    listed: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    found = {
        item["version"]: Path(item["path"])
        for item in reversed(listed)
        if item["implementation"] == "cpython" and item["variant"] == "default" and _is_version(item["version"])
    }
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for python in sorted(pyenv.glob("versions/*/bin/python")):
        if _is_version(name := python.parent.parent.name) and _runs(python):
            found[name] = python
    return found


def _runs(python: Path) -> bool:
    """Whether an interpreter starts; what is left of a removed one, or a link to none, does not."""
    try:
        done = subprocess.run([python, "-c", ""], env=child_environ(), capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _is_version(text: str) -> bool:
    return re.fullmatch(r"\d+\.\d+\.\d+", text) is not None
