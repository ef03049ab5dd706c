"""Where the code came from: commit and state of the repository, found out once per process, off the caller's path."""

from __future__ import annotations

import functools
import inspect
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..store import Source

__all__ = ["Capture", "capture_source", "entry_point_of", "source_file_of"]

_PATIENCE = 5.0


class Repository:
    """The repository around a folder, as it was when this process first asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self.known: Source | None = None

    def look(self) -> Source:
        """Find out, or give what was found before."""
        with self._lock:
            if self.known is None:
                self.known = self._find()
            return self.known

    def _find(self) -> Source:
        root = _git(self._folder, "rev-parse", "--show-toplevel")
        if root is None:
            return Source(str(self._folder))
        changes = _git(self._folder, "status", "--porcelain", "--untracked-files=normal")
        dirty = None if changes is None else bool(changes)
        return Source(root, commit=_git(self._folder, "rev-parse", "HEAD"), dirty=dirty)


@dataclass
class Capture:
    """A source that is known from before, or is being found out in a thread."""

    repository: Repository | None
    entry_point: str | None
    thread: threading.Thread | None = None

    def known(self) -> Source:
        """Give what is known without waiting."""
        found = self.repository.known if self.repository else None
        return replace(found or Source(), entry_point=self.entry_point)

    def begin(self, found: Callable[[Source], None]) -> None:
        """Have `found` told the rest, from a thread, unless all was known from the beginning."""
        if self.repository and self.repository.known is None:
            self.thread = threading.Thread(target=self._tell, args=(found,), name="prefect-ml-capture", daemon=True)
            self.thread.start()

    def wait(self) -> None:
        """Wait until all is told, at most a few seconds."""
        if self.thread:
            self.thread.join(_PATIENCE)

    def _tell(self, found: Callable[[Source], None]) -> None:
        if self.repository:
            found(replace(self.repository.look(), entry_point=self.entry_point))


def capture_source(file: str | None, entry_point: str | None) -> Capture:
    """Prepare to say where `file` came from."""
    folder = Path(file).absolute().parent if file and Path(file).exists() else None
    return Capture(_repository(folder) if folder else None, entry_point)


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
def _repository(folder: Path) -> Repository:
    return Repository(folder)


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
