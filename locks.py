"""Locks among the processes and threads of one machine: files, held until the last process that holds one is gone."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import ProjectError

__all__ = ["hold", "locked", "locked_if_free"]

_LOOK = 0.01
_LOOK_AT_MOST = 0.2


def hold(lock: Path, *, shared: bool = False, waiting: Callable[[], object] = lambda: None) -> IO[str]:
    """Hold a lock until the file that this gives is closed, here and in the children that have it.

    Args:
        lock: The file, which is made; whoever holds it may remove it.
        shared: Hold it beside others that share it, and against those that do not.
        waiting: Called once where somebody else holds it; what it raises ends the waiting.

    Raises:
        OSError: The file cannot be written.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    seconds = 0.0
    while (file := _held(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)) is None:
        if not seconds:
            waiting()
        seconds = min(seconds + _LOOK, _LOOK_AT_MOST)
        time.sleep(seconds)  # and not in the system, where no timeout or cancellation reaches a thread
    return file


@contextmanager
def locked(
    lock: Path, *, waiting: Callable[[], object] = lambda: None, unwritable: type[ProjectError] = ProjectError
) -> Generator[None]:
    """Hold a lock, against everybody else, for the body; call `waiting` first where somebody holds it.

    Raises:
        ProjectError: Its folder cannot be written; it is raised as `unwritable`.
    """
    try:
        file = hold(lock, waiting=waiting)
    except OSError as error:
        raise unwritable(
            f"The folder {lock.parent} cannot be written ({error.strerror}); set PREFECT_ML_HOME to one that can."
        ) from error
    with file:
        yield


@contextmanager
def locked_if_free(lock: Path) -> Generator[bool]:
    """Hold a lock as `locked` does and say so, or say that somebody else holds it.

    Raises:
        OSError: Its folder cannot be written.
    """
    try:
        file = hold(lock, waiting=_give_up)
    except BlockingIOError:
        yield False
        return
    with file:
        yield True


def _give_up() -> None:
    raise BlockingIOError


def _held(lock: Path, how: int) -> IO[str] | None:
    file = lock.open("a")
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
        # Its holder before may have removed it: what is held then is the lock of nothing.
        if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        file.close()
        raise
    file.close()
    return None
