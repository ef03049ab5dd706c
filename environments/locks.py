"""Who may change an environment, and who uses it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from ..errors import EnvironmentFailed
from ..locks import hold, locked, locked_if_free

__all__ = ["alone", "alone_if_free", "in_use", "lock_of"]


def lock_of(home: Path) -> Path:
    """Give the file by which an environment is locked."""
    return home.with_suffix(".lock")


def alone(home: Path, *, waiting: Callable[[], None]) -> AbstractContextManager[None]:
    """Hold an environment so that nobody else builds, uses or removes it; call `waiting` first where somebody does.

    Raises:
        EnvironmentFailed: The folder of environments cannot be written.
    """
    return locked(lock_of(home), waiting=waiting, unwritable=EnvironmentFailed)


def alone_if_free(home: Path) -> AbstractContextManager[bool]:
    """Hold an environment as `alone` does and say so, or say that somebody else holds it."""
    return locked_if_free(lock_of(home))


def in_use(home: Path) -> IO[str] | None:
    """Hold an environment so that nobody removes it, as long as this file or a child's copy of it is open.

    Gives None where the folder of environments cannot be written: nobody removes anything there either.
    """
    try:
        return hold(lock_of(home), shared=True)
    except OSError:
        return None
