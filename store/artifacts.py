"""Artifacts: files and folders below a local folder or any fsspec URL."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import ArtifactError

__all__ = ["check_relative", "exists", "fetch", "join", "list_files", "put_file", "put_folder"]


def check_relative(path: str) -> str:
    """Give `path` in its plain form if it stays below its root.

    Raises:
        ArtifactError: It is absolute, empty, has a NUL byte, or climbs out through `..`.
    """
    pure = PurePosixPath(path.replace("\\", "/"))
    if not path or "\0" in path or pure.is_absolute() or ".." in pure.parts or pure == PurePosixPath("."):
        raise ArtifactError(f"{path!r} is not a path below the run's artifacts; use a relative path without '..'.")
    return str(pure)


def join(uri: str, *parts: str) -> str:
    """Append relative parts to a folder or URL."""
    return "/".join([uri.rstrip("/"), *(check_relative(part) for part in parts if part)])


def put_file(local: Path, uri: str) -> None:
    """Copy a local file to `uri`, replacing what is there.

    Raises:
        ArtifactError: The file is missing, or the target cannot be written.
    """
    if not local.is_file():
        raise ArtifactError(f"{local} is not a file; give the path of a file that exists.")
    with _translated(f"write {uri}"):
        filesystem, path = _filesystem(uri)
        filesystem.makedirs(_parent(path), exist_ok=True)
        filesystem.put_file(str(local), path)


def put_folder(local: Path, uri: str) -> None:
    """Copy a local folder to `uri` as a whole; on a local target it appears at once or not at all.

    Raises:
        ArtifactError: The folder is missing, holds a link that leads out, or the target cannot be written.
    """
    if not local.is_dir():
        raise ArtifactError(f"{local} is not a folder; give the path of a folder that exists.")
    _refuse_links_out(local)
    with _translated(f"write {uri}"):
        filesystem, path = _filesystem(uri)
        if _is_local(filesystem):
            _place_locally(local, Path(path))
            return
        for file in _files(local):
            filesystem.put_file(str(file), f"{path}/{file.relative_to(local).as_posix()}")


def fetch(uri: str, to: Path) -> Path:
    """Copy a file or folder to the local path `to` and give that path.

    Raises:
        ArtifactError: Nothing is there, or it cannot be read.
    """
    with _translated(f"read {uri}"):
        filesystem, path = _filesystem(uri)
        if not filesystem.exists(path):
            raise ArtifactError(f"There is nothing at {uri}; check the path.")
        to.parent.mkdir(parents=True, exist_ok=True)
        if filesystem.isfile(path):
            filesystem.get_file(path, str(to))
        else:
            for relative in _relative_files(filesystem, path):
                target = to / check_relative(relative)
                target.parent.mkdir(parents=True, exist_ok=True)
                filesystem.get_file(f"{path}/{relative}", str(target))
    return to


def list_files(uri: str) -> list[str]:
    """Give the relative paths of all files below `uri`, sorted; an absent folder has none."""
    with _translated(f"list {uri}"):
        filesystem, path = _filesystem(uri)
        return _relative_files(filesystem, path) if filesystem.exists(path) else []


def exists(uri: str) -> bool:
    """Whether a file or folder is there."""
    with _translated(f"look for {uri}"):
        filesystem, path = _filesystem(uri)
        return bool(filesystem.exists(path))


@contextmanager
def _translated(action: str) -> Generator[None]:
    try:
        yield
    except ArtifactError:
        raise
    except (OSError, ValueError, ImportError) as error:
        raise ArtifactError(f"Cannot {action} ({error}); check the location and its credentials.") from error


def _filesystem(uri: str) -> tuple[Any, str]:
    import fsspec  # pyright: ignore[reportMissingTypeStubs]

    filesystem, path = fsspec.core.url_to_fs(uri)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return filesystem, str(path).rstrip("/")  # pyright: ignore[reportUnknownArgumentType]


def _is_local(filesystem: Any) -> bool:
    return "file" in filesystem.protocol


def _place_locally(local: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    arriving = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        shutil.copytree(local, arriving)
        if target.exists():
            shutil.rmtree(target)
        arriving.rename(target)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def _refuse_links_out(folder: Path) -> None:
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise ArtifactError(f"{path} links out of the folder; copy what it points to instead.")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _relative_files(filesystem: Any, path: str) -> list[str]:
    return sorted(str(found)[len(path) :].lstrip("/") for found in filesystem.find(path))


def _parent(path: str) -> str:
    return path.rsplit("/", 1)[0]
