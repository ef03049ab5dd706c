"""Making room: what was fetched or downloaded and has not been used for long."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from ....settings import Settings
from .cache import inputs_of, is_arriving, projects_of, remove_tree
from .working import runs_of

__all__ = ["collect_checkouts"]

_DAY = 86_400


def collect_checkouts(settings: Settings, older_than_days: float = 30) -> list[Path]:
    """Remove fetched projects and downloaded inputs that nobody has used for long, and what killed processes have left.

    Nothing is lost: the next run fetches again what it needs. What somebody is fetching or working in now stays.

    Args:
        settings: Where the caches are.
        older_than_days: How long something must have been unused.

    Returns:
        The folders that are gone.
    """
    before = time.time() - older_than_days * _DAY
    return [*_runs(settings), *_projects(settings, before), *_inputs(settings, before)]


def _runs(settings: Settings) -> list[Path]:
    gone: list[Path] = []
    for copy in _folders(runs_of(settings)):
        lock = copy.parent / f"{copy.name}.lock"
        with _unused(lock) as free:
            if free:
                gone.append(_remove(copy))
                lock.unlink(missing_ok=True)
    return gone


def _projects(settings: Settings, before: float) -> list[Path]:
    gone: list[Path] = []
    for cache in _folders(projects_of(settings)):
        if cache == runs_of(settings):
            continue
        with _unused(cache.parent / f"{cache.name}.lock") as free:
            if free:
                gone += _sweep(cache, before)
                if not [tree for tree in _folders(cache) if tree.name != "repository.git"]:
                    gone.append(_remove(cache))
    return gone


def _sweep(cache: Path, before: float) -> list[Path]:
    trees = [tree for tree in _folders(cache) if tree.name != "repository.git"]
    return [_remove(tree) for tree in trees if is_arriving(tree) or _is_older(tree, before)]


def _inputs(settings: Settings, before: float) -> list[Path]:
    gone: list[Path] = []
    root = inputs_of(settings)
    for place in [*_folders(root / "addresses"), *_folders(root)]:
        if place.name == "addresses":
            continue
        with _unused(place.parent / f"{place.name}.lock") as free:
            if free:
                gone += [_remove(one) for one in _folders(place) if is_arriving(one)]
                if _is_older(place, before):
                    gone.append(_remove(place))
    return gone


@contextmanager
def _unused(lock: Path) -> Generator[bool]:
    """Hold a lock if nobody else does, and say whether it was free."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _folders(folder: Path) -> Iterable[Path]:
    return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()] if folder.is_dir() else []


def _is_older(path: Path, before: float) -> bool:
    return path.stat().st_mtime <= before


def _remove(path: Path) -> Path:
    # Under another name first, so that nobody sees a half of it.
    doomed = path.with_name(f".arriving-{path.name}")
    path.replace(doomed)
    remove_tree(doomed)
    return path
