"""The software that this process runs with: interpreter, platform and every package that it could import."""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
from collections.abc import Generator
from pathlib import Path

from ...store.records import RunEnvironment

__all__ = ["software"]

_INSTALLED = re.compile(r"(?P<name>.+?)(?:-(?P<version>[^-]+)(?:-py[\d.]+(?:-.+)?)?)?\.(?:dist-info|egg-info)")
_STATED = re.compile(r"^(Name|Version):\s*(\S+)", re.MULTILINE)


@functools.cache
def software() -> RunEnvironment:
    """Give what was installed when this was first asked."""
    system = os.uname()
    packages: dict[str, str] = {}
    for folder in sys.path:
        for name, version in _packages_in(folder or "."):
            packages.setdefault(name, version)  # the first on the path is the one that is imported
    return RunEnvironment.of(
        platform.python_version(), f"{system.sysname} {system.release} {system.machine}", dict(sorted(packages.items()))
    )


def _packages_in(folder: str) -> Generator[tuple[str, str]]:
    """Read names and versions off the names of the folders: a hundred times faster than reading their metadata."""
    try:
        entries = sorted(entry.path for entry in os.scandir(folder))
    except OSError:
        return  # an archive, or a folder that does not exist
    for path in entries:
        found = _INSTALLED.fullmatch(os.path.basename(path))
        if found is None:
            continue
        name, version = found["name"], found["version"]
        if version is None:  # of an editable installation by an old tool
            stated = _stated(Path(path))
            name, version = stated.get("Name", name), stated.get("Version")
        if version:
            yield re.sub(r"[-_.]+", "-", name).lower(), version.replace("_", "-")


def _stated(path: Path) -> dict[str, str]:
    for file in (path / "METADATA", path / "PKG-INFO", path):
        try:
            return dict(_STATED.findall(file.read_text(errors="replace").partition("\n\n")[0]))
        except OSError:
            continue
    return {}
