"""Making room: what was fetched or downloaded and has not been used for long."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from ....locks import locked_if_free
from ....settings import Settings
from .cache import inputs_of, is_arriving, projects_of, remove_tree
from .working import runs_of

__all__ = ["collect_checkouts"]

_DAY = 86_400
_Found = tuple[Path, Path]
"""A folder, and the lock under which it may be removed."""


def collect_checkouts(settings: Settings, older_than_days: float = 30, *, dry_run: bool = False) -> list[Path]:
    """Remove fetched projects and downloaded inputs that nobody has used for long, and what killed processes have left.

    Nothing is lost: the next run fetches again what it needs. What somebody is fetching or working in now stays.

    Args:
        settings: Where the caches are.
        older_than_days: How long something must have been unused.
        dry_run: Only say what would be removed.

    Returns:
        The folders that are gone, or would be.
    """
    before = time.time() - older_than_days * _DAY
    found = [*_runs(settings), *_projects(settings, before), *_inputs(settings, before)]
    return [path for path, lock in found if dry_run or _removed(path, lock)]


def _runs(settings: Settings) -> list[_Found]:
    return [(copy, _lock_of(copy)) for copy in _folders(runs_of(settings)) if _is_free(_lock_of(copy))]


def _projects(settings: Settings, before: float) -> list[_Found]:
    found: list[_Found] = []
    for cache in _folders(projects_of(settings)):
        lock = _lock_of(cache)
        if cache == runs_of(settings) or not _is_free(lock):
            continue
        trees = [tree for tree in _folders(cache) if tree.name != "repository.git"]
        old = [tree for tree in trees if is_arriving(tree) or _is_older(tree, before)]
        found += [(cache, lock)] if len(old) == len(trees) else [(tree, lock) for tree in old]
    return found


def _inputs(settings: Settings, before: float) -> list[_Found]:
    found: list[_Found] = []
    root = inputs_of(settings)
    for place in [*_folders(root / "addresses"), *_folders(root)]:
        lock = _lock_of(place)
        if place.name == "addresses" or not _is_free(lock):
            continue
        old = _is_older(place, before)
        found += [(place, lock)] if old else [(one, lock) for one in _folders(place) if is_arriving(one)]
    return found


def _lock_of(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.lock"


def _is_free(lock: Path) -> bool:
    with locked_if_free(lock) as free:
        return free


def _removed(path: Path, lock: Path) -> bool:
    """Remove a folder, unless somebody has begun to use it meanwhile."""
    with locked_if_free(lock) as free:
        if free:
            # Under another name first, so that nobody sees a half of it.
            doomed = path.with_name(f".arriving-{path.name}")
            path.replace(doomed)
            remove_tree(doomed)
            if path.parent.name == ".runs":  # nobody else will ever ask for this one
                lock.unlink(missing_ok=True)
        return free


def _folders(folder: Path) -> Iterable[Path]:
    return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()] if folder.is_dir() else []


def _is_older(path: Path, before: float) -> bool:
    return path.stat().st_mtime <= before
