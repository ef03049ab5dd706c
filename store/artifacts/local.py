"""Artifacts in a local folder: hashed while they are copied, and moved into their place when they are whole."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from ...errors import ArtifactError
from .faults import translated
from .files import Advance, Staged, check_unchanged, copy_hashed, state_of, temporary_name
from .paths import RESERVED

__all__ = ["LocalFiles"]

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class LocalFiles:
    """A local folder as `Files`."""

    def find(self, path: str) -> dict[str, int]:
        """Give sizes by relative path; links are left out, as nothing here makes any."""
        with translated(f"list {path}"):
            if os.path.isfile(path):
                return {"": os.path.getsize(path)}
            return {
                os.path.relpath(file, path): size
                for folder, _, names in os.walk(path)
                for name in names
                if (size := _size(file := os.path.join(folder, name))) is not None
            }

    def read(self, path: str) -> bytes:
        """Read a small file."""
        with translated(f"read {path}"):
            return Path(path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Write a small file at once."""
        with translated(f"write {path}"):
            target = Path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            arriving = temporary_name(target)
            arriving.write_bytes(data)
            arriving.replace(target)

    def stage(self, local: Path, path: str, advance: Advance) -> Staged:
        """Copy a file into the folder of our records beside its place."""
        target = Path(path)
        arriving = target.parent / RESERVED / temporary_name(target).name
        with translated(f"write {path}"):
            if os.path.isfile(path) and not os.stat(path).st_mode & _WRITABLE:
                raise ArtifactError(f"{path} belongs to a logged model, which does not change; log another one.")
            before = state_of(local)
            arriving.parent.mkdir(parents=True, exist_ok=True)
            try:
                digest = copy_hashed(local, arriving, advance)
                check_unchanged(local, before)
            except BaseException:
                arriving.unlink(missing_ok=True)
                raise
        return Staged(
            before[0], digest, lambda _: self._place(arriving, path), lambda: arriving.unlink(missing_ok=True)
        )

    def fetch(self, path: str, to: Path, advance: Advance) -> str:
        """Copy a file out in one pass."""
        with translated(f"read {path}"):
            if os.path.islink(path):
                raise ArtifactError(f"{path} is a link, and artifacts are files; remove it.")
            arriving = temporary_name(to)
            try:
                digest = copy_hashed(Path(path), arriving, advance)
                arriving.replace(to)
            finally:
                arriving.unlink(missing_ok=True)
            return digest

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        with translated(f"remove {path}"):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                Path(path).unlink(missing_ok=True)

    def protect(self, paths: Iterable[str]) -> None:
        """Take from files the right to be written."""
        for path in paths:
            with translated(f"protect {path}"):
                os.chmod(path, os.stat(path).st_mode & ~_WRITABLE)

    def _place(self, arriving: Path, path: str) -> None:
        with translated(f"write {path}"):
            arriving.replace(path)


def _size(file: str) -> int | None:
    """Give the size of a regular file; what was moved since it was listed has none."""
    try:
        found = os.lstat(file)
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
