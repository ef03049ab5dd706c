"""Where files lie: one small protocol, a local folder or anything that fsspec reaches behind it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...errors import ArtifactError
from .faults import PATIENCE

__all__ = [
    "CHUNK",
    "Advance",
    "Files",
    "Staged",
    "check_unchanged",
    "copy_hashed",
    "digest_of",
    "open_files",
    "state_of",
    "temporary_name",
]

CHUNK = 2**20
Advance = Callable[[int], object]
"""Told how many more bytes have been copied; negative where an attempt begins anew."""


@dataclass(frozen=True)
class Staged:
    """A local file that is ready to be placed.

    Attributes:
        size: Its bytes.
        digest: sha256 of them.
        place: Puts it where it belongs; until then nobody sees it.
        discard: Forgets it, if it has not been placed.
    """

    size: int
    digest: str
    place: Callable[[Advance], None]
    discard: Callable[[], None]


class Files(Protocol):
    """Where files lie. Paths are the backend's own; a folder exists as long as it holds files."""

    def find(self, path: str) -> dict[str, int]:
        """Give the size of every file below `path` by relative path; of a file itself under the empty path."""
        ...

    def read(self, path: str) -> bytes:
        """Give the bytes of a small file."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Write a small file at once, replacing what is there."""
        ...

    def stage(self, local: Path, path: str, advance: Advance) -> Staged:
        """Prepare a local file for `path`, which is replaced at once when the file is placed."""
        ...

    def fetch(self, path: str, to: Path, advance: Advance) -> str:
        """Copy a file to `to`, and give the sha256 of what has arrived."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or all that is below a folder; what is gone already is no error."""
        ...


def open_files(
    uri: str, *, options: Mapping[str, object] | None = None, patience: float = PATIENCE
) -> tuple[Files, str]:
    """Open where `uri` lies, and give its path there.

    Args:
        uri: A local path or any fsspec URL.
        options: What the fsspec file system is opened with; by default what the settings say for their artifact root.
        patience: For how many seconds a network fault is waited for.

    Raises:
        ArtifactError: Nothing knows such URLs.
    """
    from .local import LocalFiles
    from .remote import open_remote

    local = uri.removeprefix("file://")
    if "://" not in local:
        return LocalFiles(), str(Path(local).expanduser().absolute())
    return open_remote(uri, options=options, patience=patience)


def digest_of(local: Path, advance: Advance = lambda _: None) -> str:
    """Give the sha256 of a local file."""
    digest = hashlib.sha256()
    with local.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def copy_hashed(source: Path, target: Path, advance: Advance) -> str:
    """Copy a local file in one pass, and give the sha256 of what was copied."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            writer.write(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def temporary_name(target: Path) -> Path:
    """Give a name beside `target` for what is not whole yet."""
    return target.with_name(f".{target.name[:100]}.{uuid.uuid4().hex}.part")


def check_unchanged(local: Path, before: tuple[int, int]) -> None:
    """See that a file is as it was.

    Raises:
        ArtifactError: It was written to meanwhile.
    """
    if state_of(local) != before:
        raise ArtifactError(f"{local} was changed while it was copied; log it when it is complete.")


def state_of(local: Path) -> tuple[int, int]:
    """Give what tells whether a file was written to: its size and time."""
    found = local.stat()
    return found.st_size, found.st_mtime_ns
