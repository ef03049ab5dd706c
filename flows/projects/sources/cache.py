"""Folders that many may use at once: seen only when they are whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ....errors import PrefectMLError, ProjectError
from ....settings import Settings

__all__ = [
    "arriving_in",
    "inputs_of",
    "is_arriving",
    "key_of",
    "projects_of",
    "remove_tree",
    "subfolder_of",
    "touch",
]

_ARRIVING = ".arriving-"


def projects_of(settings: Settings) -> Path:
    """Give the folder of fetched projects, one sub-folder for each address."""
    return settings.home / "projects"


def inputs_of(settings: Settings) -> Path:
    """Give the folder of downloaded inputs, one sub-folder for each content."""
    return settings.home / "inputs"


def key_of(address: str, name: str) -> str:
    """Give the name of an address's folder: readable, and another one for each address."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "project"
    return f"{plain}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"


@contextmanager
def arriving_in(folder: Path) -> Generator[Path]:
    """Give a path in a folder for what is not whole yet; what is still there in the end is removed."""
    path = folder / f"{_ARRIVING}{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield path
    except OSError as error:
        if isinstance(error, PrefectMLError):  # an artifact that cannot be read is an OSError, too
            raise
        raise ProjectError(f"{folder} cannot be written ({error.strerror or error}); make room there.") from error
    finally:
        remove_tree(path)


def is_arriving(path: Path) -> bool:
    """Whether something is not whole: who made it is at work, or was killed."""
    return path.name.startswith(_ARRIVING)


def touch(path: Path) -> None:
    """Note that something in the cache was used."""
    with contextlib.suppress(OSError):  # another user's cache
        os.utime(path)


def remove_tree(path: Path) -> None:
    """Remove a file or folder, also one that is read-only; what is gone already is no error."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
        return
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, stat.S_IRWXU)
    shutil.rmtree(path, ignore_errors=True)


def subfolder_of(root: Path, subfolder: str, shown: str) -> Path:
    """Give a sub-folder of what was fetched.

    Raises:
        ProjectError: There is none, or it leads out through a link.
    """
    folder = root / subfolder if subfolder else root
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "is not there"
        raise ProjectError(f"The sub-folder {subfolder!r} of {shown} {what}; {_advice(root, subfolder)}.")
    if not folder.resolve().is_relative_to(root.resolve()):
        raise ProjectError(f"The sub-folder {subfolder!r} of {shown} links out of it; name a folder within.")
    return folder


def _advice(root: Path, subfolder: str) -> str:
    above = root
    for part in Path(subfolder).parts:
        if not (above / part).is_dir():
            break
        above /= part
    names = sorted(entry.name for entry in os.scandir(above) if entry.is_dir() and entry.name != ".git")
    where = "it" if above == root else repr(above.relative_to(root).as_posix())
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"the folders in {where} are {', '.join(names[:10])}{more}" if names else f"{where} holds no folders"
