"""MANIFEST.json: size and sha256 of every file of a model folder, so that what is loaded is what was saved."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, cast

__all__ = [
    "MANIFEST",
    "MOST_BYTES",
    "ManifestError",
    "files_in",
    "manifest_digest",
    "parse_manifest",
    "verify",
    "write_manifest",
]

MANIFEST = "MANIFEST.json"
MOST_BYTES = 64 * 2**20
"""A longer manifest is none."""

_RECORDS = ".prefect-ml"  # what the store knows of a folder that lies in it, beside the model
_SHA256 = re.compile("[0-9a-f]{64}")


class ManifestError(ValueError):
    """A folder is not what its manifest says; the message names the file."""


def write_manifest(folder: Path) -> str:
    """Write the manifest of a folder and give its digest.

    Raises:
        ManifestError: The folder holds something that is neither a file nor a folder.
    """
    content = {"files": {name: _entry(folder / name) for name in sorted(_saved(folder))}}
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
    present = _saved(folder)
    if missing := sorted(set(recorded) - set(present)):
        raise ManifestError(f"the file {missing[0]!r} is missing")
    if extra := sorted(set(present) - set(recorded)):
        raise ManifestError(f"the file {extra[0]!r} was not there when the model was saved")
    for name, entry in recorded.items():
        # What has another size need not be read.
        if present[name].st_size != entry["size"] or _entry(folder / name) != entry:
            raise ManifestError(f"the file {name!r} is not the one that was saved")
    return _digest(content)


def parse_manifest(data: bytes) -> tuple[dict[str, dict[str, Any]], str]:
    """Give the size and sha256 of each file by its name, and the digest, from the text of a manifest.

    Raises:
        ManifestError: It is not one.
    """
    content = _parsed(data)
    return content["files"], _digest(content)


def files_in(folder: Path) -> dict[str, os.stat_result]:
    """Give every file of a model folder by its relative path.

    Raises:
        ManifestError: Something is neither a file nor a folder, or cannot be looked at.
    """
    try:
        return {path: found for path, found in _walk(str(folder), "") if not _is_record(path)}
    except OSError as error:
        raise ManifestError(f"{str(error.filename)!r} cannot be read ({error.strerror})") from error


def _walk(folder: str, inside: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{inside}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{path}/")
                continue
            found = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "neither a file nor a folder"
                raise ManifestError(f"{path!r} is {kind}")
            yield path, found


def _saved(folder: Path) -> dict[str, os.stat_result]:
    return {name: found for name, found in files_in(folder).items() if name != MANIFEST}


def _is_record(path: str) -> bool:
    return path.startswith(f"{_RECORDS}/")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ManifestError(f"the file {MANIFEST!r} has over {MOST_BYTES} bytes")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ManifestError(f"the file {MANIFEST!r} is missing") from None
    except OSError as error:
        raise ManifestError(f"the file {MANIFEST!r} cannot be read ({error.strerror})") from error
    return _parsed(data)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data, object_pairs_hook=_once)
    except ManifestError:
        raise
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"the file {MANIFEST!r} cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):  # pyright: ignore[reportUnknownMemberType]
        raise ManifestError(f"the file {MANIFEST!r} is not a manifest")
    for name, entry in cast("dict[str, Any]", content["files"]).items():
        if not _is_plain(name) or not _is_entry(entry):
            raise ManifestError(f"the file {MANIFEST!r} says of {name!r} what is true of no file in a folder")
    return cast("dict[str, Any]", content)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ManifestError(f"the file {MANIFEST!r} names something twice")
    return found


def _is_plain(name: str) -> bool:
    pure = PurePosixPath(name)
    outside = pure.is_absolute() or ".." in pure.parts or "\0" in name or "\\" in name
    return not outside and str(pure) == name and name not in (".", MANIFEST) and not _is_record(name)


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or set(cast("dict[str, Any]", entry)) != {"size", "sha256"}:
        return False
    size, digest = cast("dict[str, Any]", entry)["size"], cast("dict[str, Any]", entry)["sha256"]
    return type(size) is int and size >= 0 and isinstance(digest, str) and _SHA256.fullmatch(digest) is not None


def _entry(path: Path) -> dict[str, Any]:
    try:
        file = path.open("rb")
    except FileNotFoundError:  # a folder may be removed while it is looked at
        raise ManifestError(f"the file {path.name!r} is missing") from None
    with file:
        return {"size": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
