"""MANIFEST.json: size and sha256 of every file of a model folder, so that what is loaded is what was saved."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["MANIFEST", "ManifestError", "manifest_digest", "verify", "write_manifest"]

MANIFEST = "MANIFEST.json"


class ManifestError(ValueError):
    """A folder is not what its manifest says; the message names the file."""


def write_manifest(folder: Path) -> str:
    """Write the manifest of a folder and give its digest.

    Raises:
        ManifestError: The folder holds a symbolic link.
    """
    content = {"files": {name: _entry(folder / name) for name in _files(folder)}}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    return _digest(content)


def manifest_digest(folder: Path) -> str:
    """Give the digest of a folder's manifest: sha256 over its canonical JSON.

    Raises:
        ManifestError: There is no manifest, or it is not one.
    """
    return _digest(_read(folder))


def verify(folder: Path) -> str:
    """Compare every file with the manifest and give the manifest's digest.

    Raises:
        ManifestError: A file is changed, missing, or not listed.
    """
    content = _read(folder)
    recorded: dict[str, Any] = content["files"]
    present = set(_files(folder))
    if missing := sorted(set(recorded) - present):
        raise ManifestError(f"the file {missing[0]!r} is missing")
    if extra := sorted(present - set(recorded)):
        raise ManifestError(f"the file {extra[0]!r} was not there when the model was saved")
    for name, entry in recorded.items():
        if _entry(folder / name) != entry:
            raise ManifestError(f"the file {name!r} is not the one that was saved")
    return _digest(content)


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        raise ManifestError(f"the file {MANIFEST!r} is missing") from None
    except (OSError, ValueError) as error:
        raise ManifestError(f"the file {MANIFEST!r} cannot be read ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):  # pyright: ignore[reportUnknownMemberType]
        raise ManifestError(f"the file {MANIFEST!r} is not a manifest")
    return content  # pyright: ignore[reportUnknownVariableType]


def _files(folder: Path) -> list[str]:
    found = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    for path in found:
        if path.is_symlink():
            raise ManifestError(f"{path.relative_to(folder).as_posix()!r} is a symbolic link")
    return [name for path in found if (name := path.relative_to(folder).as_posix()) != MANIFEST]


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
