"""Who may change an environment, and who uses it: locks that go with the last process that holds them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import EnvironmentFailed

__all__ = ["alone", "alone_if_free", "in_use", "lock_of"]


def lock_of(home: Path) -> Path:
    """Give the file by which an environment is locked."""
    return home.with_suffix(".lock")


@contextmanager
def alone(home: Path, *, waiting: Callable[[], None]) -> Generator[None]:
    """Hold an environment so that nobody else builds, uses or removes it; call `waiting` first where somebody does.

    Raises:
        EnvironmentFailed: The folder of environments cannot be written.
    """
    try:
        file = _held(home, fcntl.LOCK_EX, waiting)
    except OSError as error:
        raise EnvironmentFailed(
            f"The folder {home.parent} cannot be written ({error.strerror}); set PREFECT_ML_HOME to one that can."
        ) from error
    with file:
        yield


@contextmanager
def alone_if_free(home: Path) -> Generator[bool]:
    """Hold an environment as `alone` does and say so, or say that somebody else holds it."""

    def give_up() -> None:
        raise BlockingIOError

    try:
        file = _held(home, fcntl.LOCK_EX, give_up)
    except BlockingIOError:
        yield False
        return
    with file:
        yield True


def in_use(home: Path) -> IO[str] | None:
    """Hold an environment so that nobody removes it, as long as this file or a child's copy of it is open.

    Gives None where the folder of environments cannot be written: nobody removes anything there either.
    """
    try:
        return _held(home, fcntl.LOCK_SH, lambda: None)
    except OSError:
        return None


def _held(home: Path, how: int, waiting: Callable[[], None]) -> IO[str]:
    path = lock_of(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.open("a")
        try:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, how)
            # Whoever removes an environment removes its lock as well: what was held then is the lock of nothing.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()
