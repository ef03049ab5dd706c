"""Where the code came from: commit and state of the repository, found out off the caller's path."""

from __future__ import annotations

import functools
import inspect
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from ..store import Source

__all__ = ["Capture", "capture_source", "entry_point_of", "source_file_of"]


class Capture:
    """A source that is being found out in a thread."""

    def __init__(self, folder: Path | None, entry_point: str | None) -> None:
        self._folder = folder
        self._entry_point = entry_point
        self._found = Source(entry_point=entry_point)
        self._thread = threading.Thread(target=self._find, name="prefect-ml-capture", daemon=True)
        self._thread.start()

    def result(self) -> Source:
        """Give the source, waiting for it at most a few seconds."""
        self._thread.join(timeout=5)
        return self._found

    def _find(self) -> None:
        if self._folder:
            root, commit, dirty = _repository(self._folder)
            self._found = Source(root or str(self._folder), self._entry_point, commit, dirty)


def capture_source(file: str | None, entry_point: str | None) -> Capture:
    """Begin to find out where `file` came from."""
    folder = Path(file).absolute().parent if file and Path(file).exists() else None
    return Capture(folder, entry_point)


def entry_point_of(fn: Callable[..., object]) -> str:
    """Name a function in full, for the record."""
    return f"{fn.__module__}.{fn.__qualname__}"


def source_file_of(fn: Callable[..., object]) -> str | None:
    """Give the file that a function was written in, under its decorators; None for what no file holds."""
    try:
        return inspect.getsourcefile(inspect.unwrap(fn))
    except TypeError:
        return None


@functools.lru_cache(maxsize=32)
def _repository(folder: Path) -> tuple[str | None, str | None, bool | None]:
    root = _git(folder, "rev-parse", "--show-toplevel")
    if root is None:
        return None, None, None
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=normal")
    return root, commit, None if changes is None else bool(changes)


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
