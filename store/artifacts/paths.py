"""Paths of artifacts: relative, below their root, and none of our own."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from pathlib import Path, PurePosixPath

from ...errors import ArtifactError

__all__ = ["RESERVED", "below", "check_relative", "files_below", "join", "parent_of", "shown"]

RESERVED = ".prefect-ml"
"""The folder, in any folder of artifacts, that holds our own records; it is never listed."""


def check_relative(path: str) -> str:
    """Give `path` in its plain form if it stays below its root.

    Raises:
        ArtifactError: It is absolute, empty, has a NUL byte, climbs out through `..`, or is where we keep our records.
    """
    pure = PurePosixPath(path.replace("\\", "/"))
    if not path or "\0" in path or pure.is_absolute() or ".." in pure.parts or pure == PurePosixPath("."):
        raise ArtifactError(f"{path!r} is not a path below the run's artifacts; use a relative path without '..'.")
    if RESERVED in pure.parts:
        raise ArtifactError(
            f"{path!r} goes through {RESERVED!r}, where prefect-ml keeps its records; use another name."
        )
    return str(pure)


def join(uri: str, *parts: str) -> str:
    """Append relative parts to a folder or URL.

    Raises:
        ArtifactError: A part leads out, or cannot be part of a URL.
    """
    checked = [check_relative(part) for part in parts if part]
    if "://" in uri and any("::" in part for part in checked):
        raise ArtifactError(f"{'/'.join(checked)!r} has '::', which means something else in a URL; use another name.")
    return "/".join([uri.rstrip("/"), *checked])


def parent_of(path: str) -> str:
    """Give the folder that a path lies in; that of a bare name is the empty path."""
    return path.rpartition("/")[0]


def below(folder: str, path: str) -> str:
    """Put a path below a folder; the empty path is the folder or what has none."""
    return f"{folder}/{path}" if folder and path else folder or path


def shown(uri: str) -> str:
    """Give a URL as messages may show it: without user and password."""
    return re.sub(r"://[^/@]*@", "://***@", uri)


def files_below(folder: Path) -> dict[str, Path]:
    """Give the files of a local folder by relative path; links within the folder are followed.

    Raises:
        ArtifactError: A link leads out or in a circle, or something is neither file nor folder.
    """
    return {file.relative_to(folder).as_posix(): file for file in _walk(folder, folder.resolve())}


def _walk(folder: Path, root: Path) -> Generator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name == RESERVED:
            continue
        if entry.is_symlink():
            _check_link(path, root)
        if entry.is_dir():
            yield from _walk(path, root)
        elif entry.is_file():
            yield path
        else:
            raise ArtifactError(f"{path} is neither a file nor a folder; leave it out.")


def _check_link(path: Path, root: Path) -> None:
    try:
        target = path.resolve(strict=True)
    except OSError as error:
        raise ArtifactError(f"{path} links to nothing that can be read; remove the link.") from error
    if not target.is_relative_to(root):
        raise ArtifactError(f"{path} links out of the folder; copy what it points to instead.")
    if path.parent.resolve().is_relative_to(target):
        raise ArtifactError(f"{path} links to a folder that it lies in; remove the link.")
