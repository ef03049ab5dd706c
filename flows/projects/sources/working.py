"""Copies of what was fetched, for runs to work in: the cache itself is never written to."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ....errors import ProjectError
from ....locks import locked
from ....settings import Settings
from .cache import projects_of, remove_tree
from .git import GitFailed, signed_in
from .model import Fetched

__all__ = ["apply_patch", "checkout", "run_folder", "runs_of", "workspace"]


@contextmanager
def workspace(fetched: Fetched, *, settings: Settings) -> Generator[Fetched]:
    """Give a clean copy of a project for one run, removed afterwards; the user's own folder is given as it is.

    Raises:
        ProjectError: It cannot be copied.
    """
    if fetched.in_place:
        yield fetched
        return
    with run_folder(settings) as place:
        root = place / fetched.root.name
        yield replace(fetched, folder=checkout(fetched, root), root=root, in_place=True)


@contextmanager
def run_folder(settings: Settings) -> Generator[Path]:
    """Give the path of a folder for one run, removed afterwards; what a killed run has left, `collect_checkouts` finds.

    Raises:
        ProjectError: It cannot be made.
    """
    place = runs_of(settings) / uuid.uuid4().hex
    lock = place.parent / f"{place.name}.lock"
    # Held while the run lasts, so that nobody takes the copy for one that a killed run has left.
    with locked(lock):
        try:
            yield place
        finally:
            remove_tree(place)
            lock.unlink(missing_ok=True)


def apply_patch(root: Path, patch: Path) -> None:
    """Apply a patch that Git has made to a copy of its repository.

    Raises:
        ProjectError: It does not fit.
    """
    with signed_in(None, "") as git:
        try:
            git.run("apply", "--allow-empty", "--whitespace=nowarn", str(patch), folder=root)
        except GitFailed as failed:
            raise ProjectError(f"The local changes do not fit the commit ({failed.reason}).") from failed


def runs_of(settings: Settings) -> Path:
    """Give the folder of the copies that runs work in."""
    return projects_of(settings) / ".runs"


def checkout(fetched: Fetched, into: Path) -> Path:
    """Copy what was fetched, with the repository of its commit where it has one, and give the project's folder there.

    Args:
        fetched: What `fetch` gave.
        into: Folder that gets the files of the root; it must be empty or absent.

    Raises:
        ProjectError: The folder is not empty, or cannot be written.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ProjectError(f"{into} is not empty; give another folder for the copy of {fetched.uri}.")
    try:
        shutil.copytree(fetched.root, into, symlinks=True, copy_function=_copy, dirs_exist_ok=True)
    except FileNotFoundError as error:
        raise ProjectError(f"{fetched.root} was removed meanwhile; fetch {fetched.uri} again.") from error
    except (OSError, shutil.Error) as error:
        reason = error.strerror or "not all files can be read"
        raise ProjectError(f"{fetched.uri} cannot be copied to {into} ({reason}); make room there.") from error
    for folder, _, _ in os.walk(into):
        os.chmod(folder, os.stat(folder).st_mode | stat.S_IWUSR)
    if fetched.commit and (into / ".git").exists():
        _refresh(into)
    return into / fetched.subfolder if fetched.subfolder else into


def _copy(source: str, target: str) -> None:
    if f"{os.sep}.git{os.sep}" in source and f"{os.sep}objects{os.sep}" in source:
        with contextlib.suppress(OSError):  # another disk, or one without links
            os.link(source, target)  # Git never changes what it has written there
            return
    shutil.copy2(source, target, follow_symlinks=False)
    if not os.path.islink(target):
        os.chmod(target, os.stat(target).st_mode | stat.S_IWUSR)


def _refresh(tree: Path) -> None:
    """Let Git note the times of the copied files once, or it reads all of them each time it is asked."""
    with signed_in(None, "") as git, contextlib.suppress(GitFailed):
        git.run("update-index", "-q", "--refresh", folder=tree)
