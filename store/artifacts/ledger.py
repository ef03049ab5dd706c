"""Which files are artifacts: those that a finished upload has recorded, and those that nobody has a record of.

In each folder of artifacts, the folder `.prefect-ml` holds records of two kinds:

- of a file that was put there alone, an empty file `<name>.<sha256>`, written before the file is;
- of a folder, a manifest `<id>.json` with the size and sha256 of each file (and the names of older records that it
  replaces), written last; while its files are on their way it is called `<id>.arriving`. A folder that nothing may
  replace or add to has one called `<id>.sealed.json`.

A file that only an arriving or a replaced record names is not there. Files without any record come from other tools:
they are there, and their digest is not known.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import ArtifactError
from ..ids import new_id
from .paths import RESERVED, below, parent_of

__all__ = ["Artifact", "Ledger", "Manifest", "is_manifest", "is_staged", "marker", "read_ledger", "sealed_folder"]

_LONGEST_NAME = 180
_SEALED = ".sealed.json"
_MARKER = re.compile(r"(?P<tag>.+)\.(?P<digest>[0-9a-f]{64})")
_MANIFEST = re.compile(r"[^/]+\.(json|arriving)")


@dataclass(frozen=True)
class Artifact:
    """A file that a run has logged.

    Attributes:
        path: Where it lies below the run's artifacts.
        size: Its bytes.
        digest: sha256 of them, or None where another tool has put it there, or where it is being replaced just now.
    """

    path: str
    size: int
    digest: str | None


@dataclass(frozen=True)
class Manifest:
    """What one upload of a folder brings.

    Attributes:
        files: Size and sha256 by relative path.
        replaces: Records, relative to the folder, that are void from now on.
        sealed: Whether the folder does not change any more.
    """

    files: Mapping[str, tuple[int, str]]
    replaces: tuple[str, ...] = ()
    sealed: bool = False
    id: str = field(default_factory=new_id)

    @property
    def arriving(self) -> str:
        """Where it lies until all files are there, relative to its folder."""
        return f"{RESERVED}/{self.id}.arriving"

    @property
    def whole(self) -> str:
        """Where it lies from then on."""
        return f"{RESERVED}/{self.id}{_SEALED if self.sealed else '.json'}"

    def as_bytes(self) -> bytes:
        """Give its text, in the form that a model's manifest has."""
        files = {path: {"size": size, "sha256": digest} for path, (size, digest) in self.files.items()}
        return json.dumps({"files": files, "replaces": self.replaces}, indent=1, sort_keys=True).encode()


@dataclass(frozen=True)
class Ledger:
    """What is known about the files below a root.

    Attributes:
        artifacts: Those that are there, sorted.
        accepted: Digests that each may have; while a file is replaced, the old one and the new one.
        missing: Files that a record names and that are gone.
        finished: Folders that an upload has completed; the root is the empty path.
    """

    artifacts: list[Artifact]
    accepted: Mapping[str, frozenset[str]]
    missing: list[str]
    finished: frozenset[str]


def marker(path: str, digest: str) -> str:
    """Give the name of the record of one file."""
    folder, _, name = path.rpartition("/")
    return below(folder, f"{RESERVED}/{_tag(name)}.{digest}")


def is_manifest(path: str) -> bool:
    """Whether this is the record of a folder, whose text has to be read."""
    folder, name = _split(path)
    return folder is not None and _MANIFEST.fullmatch(name) is not None


def is_staged(path: str) -> bool:
    """Whether this is a file that is not whole yet."""
    return _split(path)[0] is not None and path.endswith(".part")


def sealed_folder(path: str) -> str | None:
    """Give the folder that a record seals, or None where this is no such record."""
    return _owner(path) if is_manifest(path) and path.endswith(_SEALED) else None


def read_ledger(sizes: Mapping[str, int], manifests: Mapping[str, bytes]) -> Ledger:
    """Work out what is there.

    Args:
        sizes: Every file below the root, our records among them.
        manifests: The text of those records for which `is_manifest` holds.

    Raises:
        ArtifactError: A record is not what we have written.
    """
    read = {path: _parse(path, text) for path, text in sorted(manifests.items())}
    void = {below(_owner(path), old) for path, one in read.items() for old in one["replaces"]}
    recorded: dict[str, list[str]] = defaultdict(list)
    expected: set[str] = set()
    named: dict[str, set[str]] = defaultdict(set)
    for path, one in read.items():
        for relative, entry in one["files"].items():
            file = below(_owner(path), relative)
            named[file].add(entry["sha256"])
            if path.endswith(".json") and path not in void:
                recorded[file].append(entry["sha256"])
                expected.add(file)
    files = [path for path in sizes if _split(path)[0] is None]
    marked: dict[str, list[str]] = defaultdict(list)
    for file, digest in _marked(files, sizes):
        named[file].add(digest)
        if marker(file, digest) not in void:
            marked[file].append(digest)
    there = sorted(file for file in files if file in marked or file in recorded or file not in named)
    return Ledger(
        [Artifact(file, sizes[file], _current(marked.get(file), recorded.get(file))) for file in there],
        {file: frozenset(named.get(file, ())) for file in there},
        sorted(expected - set(files)),
        frozenset(_owner(path) for path in read if path.endswith(".json") and path not in void),
    )


def _current(marked: list[str] | None, recorded: list[str] | None) -> str | None:
    """Give the digest of a file as it is now; a folder that brings it anew removes the record of the single file."""
    if marked:
        return marked[0] if len(marked) == 1 else None
    return recorded[-1] if recorded else None


def _marked(files: Iterable[str], sizes: Mapping[str, int]) -> Iterable[tuple[str, str]]:
    digests: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in sizes:
        folder, name = _split(path)
        if folder is not None and (match := _MARKER.fullmatch(name)):
            digests[folder, match["tag"]].append(match["digest"])
    for file in files:
        folder, _, name = file.rpartition("/")
        for digest in digests.get((folder, _tag(name)), ()):
            yield file, digest


def _split(path: str) -> tuple[str | None, str]:
    """Give the folder that a record belongs to and its name; None where the path is no record."""
    before, found, name = f"/{path}".partition(f"/{RESERVED}/")
    return (before.lstrip("/"), name) if found else (None, path)


def _owner(path: str) -> str:
    return parent_of(parent_of(path))


def _tag(name: str) -> str:
    # A record's name must not be longer than file systems allow.
    return name if len(name.encode()) <= _LONGEST_NAME else hashlib.sha256(name.encode()).hexdigest()


def _parse(path: str, text: bytes) -> dict[str, Any]:
    try:
        read = json.loads(text)
        return {"files": dict(read["files"]), "replaces": list(read["replaces"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"The record {path} of artifacts cannot be read ({error}); log them again.") from error
