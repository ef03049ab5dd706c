"""Artifacts behind a URL: whatever fsspec reaches, tried again while the network or the server is at fault."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ...errors import ArtifactError
from ...settings import storage_options
from .faults import PATIENCE, retried, translated
from .files import Advance, Files, Staged, check_unchanged, digest_of, state_of, temporary_name
from .local import LocalFiles
from .paths import parent_of, shown

__all__ = ["RemoteFiles", "open_remote"]

_Answer = TypeVar("_Answer")
_PART = 8 * 2**20
_PARTS_AT_ONCE = 4
_MOST_PARTS = 10_000
# Where a folder is nothing but a prefix of names, and making one could make a bucket.
_WITHOUT_FOLDERS = {"s3", "s3a", "gcs", "gs", "abfs", "abfss", "az", "adl", "oci"}


class RemoteFiles:
    """A file system of fsspec as `Files`. Safe to share between threads."""

    def __init__(self, filesystem: Any, url: str, *, patience: float = PATIENCE) -> None:
        self._filesystem = filesystem
        self._url = shown(url)
        self._patience = patience
        protocol = filesystem.protocol
        self._protocols: set[str] = {protocol} if isinstance(protocol, str) else set(protocol)

    def find(self, path: str) -> dict[str, int]:
        """Give sizes by relative path."""
        return self._try(f"list {self._shown(path)}", lambda: self._find(path))

    def read(self, path: str) -> bytes:
        """Read a small file."""
        return self._try(f"read {self._shown(path)}", lambda: bytes(self._filesystem.cat_file(path)))

    def write(self, path: str, data: bytes) -> None:
        """Write a small file."""
        self._make_parent(path)
        self._try(f"write {self._shown(path)}", lambda: self._filesystem.pipe_file(path, data))

    def stage(self, local: Path, path: str, advance: Advance) -> Staged:
        """Hash a file; it is sent when it is placed."""
        with translated(f"read {local}"):
            before = state_of(local)
            digest = digest_of(local)

        def place(advance: Advance) -> None:
            self._make_parent(path)
            self._copy(f"write {self._shown(path)}", lambda call: self._put(local, path, call), advance)
            check_unchanged(local, before)

        return Staged(before[0], digest, place, lambda: None)

    def fetch(self, path: str, to: Path, advance: Advance) -> str:
        """Copy a file here and hash it."""
        arriving = temporary_name(to)
        try:
            self._copy(f"read {self._shown(path)}", lambda call: self._get(path, arriving, call), advance)
            with translated(f"write {to}"):
                digest = digest_of(arriving)
                arriving.replace(to)
        finally:
            arriving.unlink(missing_ok=True)
        return digest

    def remove(self, path: str) -> None:
        """Remove a file, or all that is below a folder."""
        for relative in self.find(path):
            file = f"{path}/{relative}" if relative else path
            self._try(f"remove {self._shown(file)}", lambda file=file: self._remove(file))

    def _try(self, action: str, call: Callable[[], _Answer]) -> _Answer:
        return retried(call, patience=self._patience, action=action)

    def _copy(self, action: str, copy: Callable[[Any], None], advance: Advance) -> None:
        """Copy with the bytes counted; an attempt that fails takes back what it has counted."""
        from fsspec.callbacks import Callback  # pyright: ignore[reportMissingTypeStubs]

        class Counted(Callback):
            def relative_update(self, inc: int = 1) -> None:
                super().relative_update(inc)
                advance(inc)

        def attempt() -> None:
            counted = Counted()
            try:
                copy(counted)
            except BaseException:
                advance(-int(counted.value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
                raise

        self._try(action, attempt)

    def _find(self, path: str) -> dict[str, int]:
        self._filesystem.invalidate_cache()  # other processes write, too
        try:
            found: dict[str, Any] = self._filesystem.find(path, detail=True)
        except FileNotFoundError:
            return {}
        return {
            name[len(path) :].lstrip("/"): int(info["size"] or 0)
            for name, info in found.items()
            if info["type"] == "file" and (name == path or name.startswith(f"{path}/"))
        }

    def _put(self, local: Path, path: str, callback: Any) -> None:
        self._filesystem.put_file(str(local), path, callback=callback, **self._parts(local.stat().st_size))

    def _get(self, path: str, to: Path, callback: Any) -> None:
        self._filesystem.get_file(path, str(to), callback=callback, **self._parts(0))

    def _parts(self, size: int) -> dict[str, int]:
        # What s3fs does by itself keeps ten parts of 50 MB in memory for each file.
        if not {"s3", "s3a"} & self._protocols:
            return {}
        return {"chunksize": max(_PART, math.ceil(size / _MOST_PARTS)), "max_concurrency": _PARTS_AT_ONCE}

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.rm_file(path)

    def _make_parent(self, path: str) -> None:
        if not _WITHOUT_FOLDERS & self._protocols:
            folder = parent_of(path)
            self._try(f"make {self._shown(folder)}", lambda: self._filesystem.makedirs(folder, exist_ok=True))

    def _shown(self, path: str) -> str:
        return f"{self._url}{path.lstrip('/')}"


def open_remote(
    uri: str, *, options: Mapping[str, object] | None = None, patience: float = PATIENCE
) -> tuple[Files, str]:
    """Open the file system of a URL, and give the path there.

    Raises:
        ArtifactError: Nothing knows such URLs, or it cannot be opened.
    """
    import fsspec  # pyright: ignore[reportMissingTypeStubs]

    given = storage_options(uri) if options is None else options
    with translated(f"open {shown(uri)}"):
        filesystem, path = fsspec.core.url_to_fs(uri, **{**_defaults(uri), **given})  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    plain = str(path).rstrip("/")  # pyright: ignore[reportUnknownArgumentType]
    if not plain:
        raise ArtifactError(f"{shown(uri)} names no folder; give more than the scheme.")
    if "file" in filesystem.protocol:
        return LocalFiles(), plain
    scheme = uri[: uri.index("://") + 3]
    return RemoteFiles(filesystem, scheme, patience=patience), plain


def _defaults(uri: str) -> dict[str, object]:
    # One attempt per call: ours are the attempts that wait, and they know when to give up.
    return {"config_kwargs": {"retries": {"max_attempts": 1}}} if uri.startswith(("s3://", "s3a://")) else {}
