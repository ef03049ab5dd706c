"""What an image holds: its Python and packages, asked of a container once per image and kept by the image's id."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import EnvironmentFailed
from ..realise import remember_use
from .leftovers import labels, removed

__all__ = ["Contents", "contents_of"]

_MARK = "prefect-ml-contents: "
# Works with every Python 3; an image with none of it says nothing, which is an answer too.
_CODE = f"""
import json, os, platform, sys
try:
    from importlib.metadata import distributions
    packages = {{d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"]}}
except ImportError:
    packages = {{}}
system = platform.uname()
print({_MARK!r} + json.dumps({{
    "python": platform.python_version(), "executable": os.path.realpath(sys.executable), "libc": platform.libc_ver(),
    "platform": " ".join([system.system, system.machine]), "packages": packages,
}}))
"""
_SCRIPT = 'for python in python python3; do command -v $python >/dev/null 2>&1 && exec $python -c "$1"; done; exit 0'


@dataclass(frozen=True)
class Contents:
    """What an image holds.

    Attributes:
        python: Version of its Python; empty where it has none.
        platform: System and processor.
        packages: Version of each installed package by its name.
        executable: Path of its Python.
        libc: Name and version of its C library, as far as its Python can tell.
    """

    python: str = ""
    platform: str = ""
    packages: dict[str, str] = field(default_factory=dict[str, str])
    executable: str = ""
    libc: tuple[str, str] = ("", "")


def contents_of(client: Any, image: Any, *, root: Path) -> Contents:
    """Say what an image holds.

    Args:
        client: Client of the daemon.
        image: The image.
        root: Folder of all environments, where the answer is kept.

    Raises:
        EnvironmentFailed: No container can be started from it.
    """
    kept = root / "docker" / f"{image.id.removeprefix('sha256:')}.json"
    try:
        found: dict[str, Any] = json.loads(kept.read_text())
        remember_use(kept)
    except (OSError, ValueError):
        found = _asked(client, image)
        _keep(kept, json.dumps(found))
    libc, version = found.pop("libc", ("", ""))
    return Contents(**found, libc=(libc, version))


def _asked(client: Any, image: Any) -> dict[str, Any]:
    fallback = {"platform": f"{image.attrs.get('Os', '')} {image.attrs.get('Architecture', '')}".strip()}
    container = client.containers.create(
        image.id, ["/bin/sh", "-c", _SCRIPT, "sh", _CODE], network_mode="none", labels=labels()
    )
    try:
        container.start()
        container.wait()
        printed = container.logs(stdout=True, stderr=False).decode(errors="replace").splitlines()
    finally:
        removed(container)
    lines = [line.removeprefix(_MARK) for line in printed if line.startswith(_MARK)]
    return json.loads(lines[-1]) if lines else fallback


def _keep(file: Path, text: str) -> None:
    unfinished = file.with_suffix(".unfinished")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text)
        unfinished.replace(file)
    except OSError as error:
        raise EnvironmentFailed(
            f"The folder {file.parent} cannot be written ({error.strerror}); set PREFECT_ML_HOME to one that can."
        ) from error
