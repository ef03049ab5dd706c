"""What `docker build` is given of a project: its files less those of `.dockerignore`, and a digest of them."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import IO, Any

__all__ = ["context_digest", "context_files", "packed_context"]

# What runs and Git leave in a project changes all the time, and nothing that an image is made of.
_PASSING = frozenset({".git", "__pycache__"})


def context_digest(folder: Path) -> str:
    """Digest of names, modes and contents of the files that `docker build` is given; its Dockerfile is one of them."""
    digest = hashlib.sha256()
    for name in context_files(folder):
        path = folder / name
        state = path.lstat()
        content = b""
        if stat.S_ISLNK(state.st_mode):
            content = os.readlink(path).encode()
        elif stat.S_ISREG(state.st_mode):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        digest.update(f"{name}\0{state.st_mode:o}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def packed_context(folder: Path) -> IO[bytes]:
    """Pack what `docker build` is given as a tar, in an unnamed temporary file."""
    from docker.utils import build

    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
    archive: Any = build
    archive.create_archive(str(folder), files=context_files(folder), fileobj=file)
    return file


def context_files(folder: Path) -> list[str]:
    """Give the names of the files and folders that `docker build` is given."""
    from docker.utils.build import exclude_paths

    ignore = folder / ".dockerignore"
    lines = ignore.read_text().splitlines() if ignore.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    found: set[str] = exclude_paths(str(folder), patterns, dockerfile="Dockerfile")
    return sorted(name for name in found if name and _PASSING.isdisjoint(Path(name).parts))
