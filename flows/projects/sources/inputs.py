"""Inputs of projects: whatever a URL leads to, downloaded once, and kept under the digest of its content."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ....errors import PrefectMLError, ProjectError, TrackingError
from ....locks import locked
from ....settings import Settings, load_settings
from ....tasks.addresses import is_url
from .cache import arriving_in, inputs_of, key_of, remove_tree, touch
from .model import Report, silent
from .remote import Remote, remote_of

__all__ = ["Input", "digest_of", "download", "obtain"]

_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Input:
    """A file or folder on this machine, and the digest of its content."""

    path: Path
    digest: str


def download(uri: str, *, settings: Settings, report: Report | None = None) -> Path:
    """Give the local path of what an address leads to; what is not on this machine is downloaded first.

    A download is kept under the digest of its content and is read-only. It is made again only when the other side says
    that it has changed, or says nothing of the kind.

    Args:
        uri: `s3://`, `https://`, `http://` or any other URL of fsspec; `runs:/<run id>/<path>`;
            `models:/<name>/<version>`; `file://` or a local path, which is given as it is.
        settings: Where the cache and the store are.
        report: Told each step that may take long, in one line.

    Raises:
        ProjectError: Nothing is there, or it cannot be reached or read.
    """
    if (local := _local(uri)) is not None:
        return local
    return obtain(uri, settings=settings, report=report or silent).path


def digest_of(path_or_uri: str | Path, *, settings: Settings | None = None) -> str:
    """Give the sha256 of a file, or a digest over the names and contents of a folder.

    Args:
        path_or_uri: A local path, or any address that `download` takes.
        settings: Where the cache and the store are; `load_settings()` by default.

    Raises:
        ProjectError: Nothing is there, or it cannot be read.
    """
    local = path_or_uri if isinstance(path_or_uri, Path) else _local(path_or_uri)
    if local is None:
        return obtain(str(path_or_uri), settings=settings or load_settings(), report=silent).digest
    from ....tasks.data.content import content_of_path

    try:
        return content_of_path(local).digest
    except TrackingError as error:
        raise ProjectError(f"{local} cannot be read ({_reason(error)}); check the path.") from error


def obtain(uri: str, *, settings: Settings, report: Report) -> Input:
    """Give what a URL leads to, from the cache if it has not changed.

    Raises:
        ProjectError: Nothing is there, or it cannot be reached or read.
    """
    try:
        remote = remote_of(uri, settings)
        here = inputs_of(settings) / "addresses" / key_of(uri, remote.name)
        lock = here.parent / f"{here.name}.lock"
        waiting = f"Waiting for another process, which is downloading {remote.shown}"
        with locked(lock, waiting=lambda: report(waiting)):
            return _obtain(remote, here, settings, report)
    except ProjectError:
        raise
    except PrefectMLError as error:  # of artifacts, runs or models: what a caller of ours catches is one family
        raise ProjectError(str(error)) from error


def _obtain(remote: Remote, here: Path, settings: Settings, report: Report) -> Input:
    state = remote.state()
    record = _read(here / "record.json")
    if state is not None and record.get("state") == state:
        kept = Input(_place(settings, record["digest"], remote.name), record["digest"])
        if _seen(kept.path) == record["seen"]:
            touch(kept.path.parent)
            touch(here)
            return kept
    report(f"Downloading {remote.shown}")
    with arriving_in(here) as arriving:
        arriving.mkdir()
        remote.copy(arriving / remote.name)
        digest = digest_of(arriving / remote.name)
        kept = Input(_place(settings, digest, remote.name), digest)
        _keep(arriving / remote.name, kept)
        whole = arriving / "record.json.whole"
        seen = _seen(kept.path)
        whole.write_text(json.dumps({"uri": remote.shown, "state": state, "digest": digest, "seen": seen}))
        whole.replace(here / "record.json")
    return kept


def _place(settings: Settings, digest: str, name: str) -> Path:
    return inputs_of(settings) / digest / name


def _keep(arrived: Path, kept: Input) -> None:
    """Put a download in its place; what is there already stays, because others may be reading it."""
    with locked(kept.path.parent.parent / f"{kept.digest}.lock"):
        if kept.path.exists():
            if digest_of(kept.path) == kept.digest:
                touch(kept.path.parent)
                return
            remove_tree(kept.path)  # somebody wrote to it
        kept.path.parent.mkdir(parents=True, exist_ok=True)
        _protect(arrived)
        arrived.rename(kept.path)
        if kept.path.is_dir():
            kept.path.chmod(kept.path.stat().st_mode & ~_WRITE)  # only now: a folder that is read-only cannot be moved


def _protect(path: Path) -> None:
    """Make what is in a folder, or a file, read-only."""
    inside = [Path(folder, name) for folder, folders, files in os.walk(path) for name in (*folders, *files)]
    for one in inside if path.is_dir() else [path]:
        one.chmod(one.stat().st_mode & ~_WRITE)


def _seen(path: Path) -> list[list[Any]] | None:
    """Give what tells whether somebody wrote to a download, without reading it; None where it is gone."""
    if not path.exists():
        return None
    below = [Path(folder, name) for folder, _, names in os.walk(path) for name in names] if path.is_dir() else [path]
    found = [(file.relative_to(path.parent).as_posix(), file.lstat()) for file in sorted(below)]
    return [[name, one.st_size, one.st_mtime_ns] for name, one in found if stat.S_ISREG(one.st_mode)]


def _read(record: Path) -> Mapping[str, Any]:
    try:
        return json.loads(record.read_text())
    except (OSError, ValueError):
        return {}


def _local(uri: str) -> Path | None:
    """Give the path that an address on this machine has; None where it lies elsewhere.

    Raises:
        ProjectError: There is nothing at the path.
    """
    if uri.lower().startswith("file://"):
        path = Path(unquote(urlsplit(uri).path))
    elif is_url(uri) or uri.startswith(("runs:/", "models:/")):
        return None
    else:
        path = Path(uri).expanduser().absolute()
    if not path.exists():
        raise ProjectError(f"There is nothing at {path}; check the path.")
    return path


def _reason(error: BaseException) -> str:
    return getattr(error.__cause__, "strerror", None) or str(error)
