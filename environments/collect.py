"""Environments that are kept on this host: which there are, and those that nobody needs any more removed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import psutil

from ..errors import EnvironmentFailed
from .docker import kept_images, remove_image
from .environment import MARKER, marker_of
from .kept import Kept
from .locks import alone_if_free, lock_of
from .wheel import own_digest

__all__ = ["Kept", "collect_environments", "list_environments"]

_NAME = re.compile(r"[0-9a-f]{16}")
_NAMING = ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT", "PATH")


def list_environments(root: Path) -> list[Kept]:
    """List what a folder of environments holds, with the images of Docker built for it, what was used last first.

    Images are left out where no Docker daemon answers.
    """
    used = _prefixes_in_use(root)
    found = [*_environments(root, used), *_wheels(root), *kept_images(root)]
    return sorted(found, key=lambda kept: kept.last_used, reverse=True)


def collect_environments(root: Path, *, older_than_days: float = 30, dry_run: bool = False) -> list[Kept]:
    """Remove what nobody has asked for in a while and no process uses; it is built again when it is needed.

    Args:
        root: Folder of the environments.
        older_than_days: How long nobody has asked for it.
        dry_run: Only say what would be removed.

    Returns:
        What was removed.

    Raises:
        EnvironmentFailed: Something cannot be removed.
    """
    oldest = time.time() - older_than_days * 86400
    old = [kept for kept in list_environments(root) if kept.last_used.timestamp() <= oldest and not kept.in_use]
    removed = [kept for kept in old if dry_run or _remove(kept, oldest)]
    if not dry_run:
        _remove_locks(root)
    return removed


def _remove(kept: Kept, oldest: float) -> bool:
    try:
        if kept.kind == "wheel":
            shutil.rmtree(kept.path)
            return True
        if kept.kind == "image":
            return remove_image(kept.path, oldest=oldest)
        with alone_if_free(kept.path) as free:
            if not free or _used_at(kept.path) > oldest:  # somebody has asked for it a moment ago
                return False
            (kept.path / MARKER).unlink(missing_ok=True)  # first, so that a killed removal leaves no environment
            shutil.rmtree(kept.path)
            lock_of(kept.path).unlink(missing_ok=True)
    except FileNotFoundError:  # somebody else has just removed it
        return False
    except OSError as error:
        raise EnvironmentFailed(f"{kept.path} cannot be removed ({error.strerror}); remove it by hand.") from error
    return True


def _remove_locks(root: Path) -> None:
    """Remove the locks of what was never built."""
    for lock in root.glob("*.lock"):
        home = lock.with_suffix("")
        if _NAME.fullmatch(home.name) and not home.exists():
            with contextlib.suppress(OSError), alone_if_free(home) as free:
                if free and not home.exists():
                    lock.unlink()


def _environments(root: Path, used: set[str]) -> Iterator[Kept]:
    for path in root.iterdir() if root.is_dir() else ():
        if not _NAME.fullmatch(path.name) or not path.is_dir():
            continue
        marker = marker_of(path)
        yield Kept(
            digest=path.name,
            kind=marker.get("kind", "uv") if marker else "unfinished",
            origin=marker.get("origin", "") if marker else "",
            last_used=datetime.fromtimestamp(_used_at(path), timezone.utc),
            in_use=path.name in used or _is_held(path),
            size=_size(path),
            path=path,
        )


def _wheels(root: Path) -> Iterator[Kept]:
    for path in (root / "wheels").glob("*/"):
        if _NAME.fullmatch(path.name):
            at = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
            yield Kept(path.name, "wheel", "", at, path.name == own_digest(), _size(path), path)


def _used_at(path: Path) -> float:
    marker = path / MARKER
    return (marker if marker.exists() else path).stat().st_mtime


def _size(path: Path) -> int:
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                said = Path(folder, name).lstat()
                total += said.st_size if said.st_nlink == 1 else 0
    return total


def _is_held(path: Path) -> bool:
    try:
        with alone_if_free(path) as free:
            return not free
    except OSError:  # a folder that only others may write
        return False


def _prefixes_in_use(root: Path) -> set[str]:
    """Find the environments that processes run in which hold no lock: model servers, flows that Prefect has started."""
    roots = "|".join(re.escape(str(path)) for path in {root.absolute(), root.resolve()})
    below = re.compile(rf"(?:{roots})/([0-9a-f]{{16}})(?:/|$)")
    found: set[str] = set()
    for process in psutil.process_iter():
        for word in _words(process):
            found.update(name for part in word.split(os.pathsep) for name in below.findall(part))
    return found


def _words(process: psutil.Process) -> list[str]:
    words: list[str] = []
    with contextlib.suppress(psutil.Error, OSError):
        words += process.cmdline()
        variables = process.environ()
        words += [variables.get(name, "") for name in _NAMING]
    return words
