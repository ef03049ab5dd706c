"""A digest of the files that a project holds: equal for equal code, wherever it lies."""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...errors import ProjectError

__all__ = ["code_digest"]

_SKIPPED = {"__pycache__", "node_modules", "prefect-ml"}
_CHUNK = 1 << 20


def code_digest(folder: Path, *, only: Sequence[str] = (), without: Sequence[str] = ()) -> str:
    """Give a digest over names and contents of a project's files.

    In a Git repository these are all that Git does not ignore, committed or not; elsewhere all that are not hidden.

    Args:
        folder: The project.
        only: Patterns such as `train.py`, `features/` or `data/*.csv`, relative to the project; all files by default.
        without: Patterns of files that do not count.

    Raises:
        ProjectError: A pattern of `only` matches no file, or a file cannot be read.
    """
    files = [name for name in _files(folder) if not _matches(name, without)]
    chosen = [name for name in files if not only or _matches(name, only)]
    if idle := [pattern for pattern in only if not any(_matches(name, [pattern]) for name in files)]:
        raise ProjectError(f"No file of {folder} matches {idle[0]!r}; name files or folders of the project.")
    whole = hashlib.sha256()
    for name in sorted(chosen):
        whole.update(f"{name}\0{_digest_of(folder / name)}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()


def _files(folder: Path) -> Iterable[str]:
    listed = _git_files(folder)
    return _walked(folder) if listed is None else listed


def _git_files(folder: Path) -> list[str] | None:
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    names = dict.fromkeys(os.fsdecode(done.stdout).split("\0"))
    return [name for name in names if name and (folder / name).is_file()]  # not those deleted, nor submodules


def _walked(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _SKIPPED]
        for name in names:
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                yield str(path.relative_to(folder))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(
        name == pattern.rstrip("/") or name.startswith(f"{pattern.rstrip('/')}/") or fnmatch.fnmatchcase(name, pattern)
        for pattern in patterns
    )


def _digest_of(path: Path) -> str:
    try:
        seen = path.stat()
        executable = bool(seen.st_mode & 0o100)
        return f"{_content_of(str(path), seen.st_size, seen.st_mtime_ns, seen.st_ino)}{'x' if executable else ''}"
    except OSError as error:
        raise ProjectError(f"{path} cannot be read ({error.strerror}); make it readable.") from error


@functools.lru_cache(maxsize=10_000)
def _content_of(path: str, _size: int, _changed: int, _inode: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
