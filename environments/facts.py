"""What an environment holds, read from its files: its Python, its packages, and a lock that builds it again."""

from __future__ import annotations

import json
import platform
import re
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import yaml

from .commands import Facts
from .declared import Kind

__all__ = ["LOCKED", "facts_of", "python_of_venv"]

LOCKED = "prefect-ml-requirements.txt"
"""File in an environment of the kind uv with the requirements that it was built from."""


def facts_of(kind: Kind, prefix: Path) -> Facts:
    """Say what an environment holds."""
    found = list(_installed(kind, prefix))
    conda = _conda_records(prefix) if kind == "conda" else []
    packages = {str(record["name"]): str(record["version"]) for record in conda}
    packages |= {dist.name: dist.version for dist in found}
    python = _python(kind, prefix, packages)
    lines = _conda_lock(conda, found) if kind == "conda" else _uv_lock(kind, prefix, found)
    own = "yes" if "prefect-ml" in packages else "no"
    head = f"# prefect-ml environment: {kind}\n# python: {python}\n# with prefect-ml: {own}\n"
    return Facts(python, _platform(), dict(sorted(packages.items())), head + lines)


@dataclass(frozen=True)
class _Installed:
    name: str
    version: str
    files: Distribution

    @classmethod
    def of(cls, files: Distribution) -> _Installed:
        # The head alone: what follows is the package's manual, and to parse it takes a second for 200 packages.
        text = files.read_text("METADATA") or files.read_text("PKG-INFO") or ""
        words = dict(re.findall(r"^(Name|Version): *(.*?)\s*$", text.partition("\n\n")[0], re.MULTILINE))
        return cls(words.get("Name", ""), words.get("Version", ""), files)


def _installed(kind: Kind, prefix: Path) -> Iterator[_Installed]:
    if kind == "system":
        paths = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    else:
        paths = [str(path) for path in sorted(prefix.glob("lib/python*/site-packages"))]
    seen: set[str] = set()
    for dist in map(_Installed.of, distributions(path=paths)):
        if dist.name and dist.name not in seen:
            seen.add(dist.name)
            yield dist


def _python(kind: Kind, prefix: Path, packages: dict[str, str]) -> str:
    if kind == "system":
        return platform.python_version()
    if kind == "conda":
        return packages.get("python", "")
    return python_of_venv(prefix)


def python_of_venv(prefix: Path) -> str:
    """Give the version of a virtual environment's Python."""
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+\.\d+)", (prefix / "pyvenv.cfg").read_text(), re.MULTILINE)
    return found.group(1) if found else ""


def _platform() -> str:
    system = platform.uname()
    return f"{system.system} {system.release} {system.machine}"


def _uv_lock(kind: Kind, prefix: Path, found: Iterable[_Installed]) -> str:
    locked = prefix / LOCKED
    if kind == "uv" and locked.is_file() and "--hash=" in (text := locked.read_text()):
        return text  # more exact than versions
    return "".join(_pinned(found))


def _pinned(found: Iterable[_Installed]) -> Iterator[str]:
    for dist in sorted(found, key=lambda dist: dist.name.lower()):
        if dist.name.lower().replace("_", "-") != "prefect-ml":
            yield f"{dist.name}{_address(dist) or f'=={dist.version}'}\n"


def _address(dist: _Installed) -> str | None:
    """Say where a package comes from that no index gave."""
    try:
        direct: dict[str, Any] = json.loads(dist.files.read_text("direct_url.json") or "null") or {}
    except ValueError:
        return None
    url, vcs = direct.get("url", ""), direct.get("vcs_info")
    if not url:
        return None
    return f" @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else f" @ {url}"


def _conda_records(prefix: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((prefix / "conda-meta").glob("*.json"))]


def _conda_lock(records: list[dict[str, Any]], found: list[_Installed]) -> str:
    """Write a conda.yaml that gives the same builds."""
    names = {str(record["name"]).lower() for record in records}
    by_pip = [dist for dist in found if (dist.files.read_text("INSTALLER") or "").strip() not in ("", "conda")]
    pinned = [line.strip() for line in _pinned(dist for dist in by_pip if dist.name.lower() not in names)]
    dependencies: list[Any] = [f"{record['name']}={record['version']}={record['build']}" for record in records]
    channels = list(dict.fromkeys(_channel(record) for record in records))
    channels += [] if "defaults" in channels else ["nodefaults"]  # or else a tool asks its own channels as well
    content = {"channels": channels, "dependencies": dependencies + ([{"pip": pinned}] if pinned else [])}
    return yaml.safe_dump(content, sort_keys=False)


def _channel(record: dict[str, Any]) -> str:
    channel, subdir = str(record.get("channel", "defaults")).rstrip("/"), str(record.get("subdir", "noarch"))
    return channel.removesuffix(f"/{subdir}")
