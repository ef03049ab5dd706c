"""Reading artifacts: what is there, and copies of it that are checked against what was recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import ArtifactError, IntegrityError
from .faults import PATIENCE
from .files import Advance, Files, open_files
from .ledger import Artifact, Ledger, is_manifest, read_ledger
from .local import LocalFiles
from .parallel import in_parallel
from .paths import RESERVED, below, check_relative, parent_of, shown
from .progress import progress

__all__ = ["Survey", "copy_out", "exists", "fetch", "list_entries", "list_files", "survey"]


_LOOKS = 10


class _Moved(Exception):
    """A record is gone that was there a moment ago: an upload has ended meanwhile."""


@dataclass(frozen=True)
class Survey:
    """What was found at a path below a root.

    Attributes:
        root: The folder that paths in the ledger are relative to.
        path: The path asked for, relative to the root; the empty path is the root itself.
        sizes: Every file at or below the path, and our records of the folders above.
    """

    files: Files
    root: str
    path: str
    sizes: Mapping[str, int]
    ledger: Ledger

    @property
    def place(self) -> str:
        """The path asked for, as the file system has it."""
        return below(self.root, self.path)

    @property
    def found(self) -> list[Artifact]:
        """The artifacts at or below the path, by their path below the root."""
        return [one for one in self.ledger.artifacts if _is_within(one.path, self.path)]

    @property
    def is_file(self) -> bool:
        """Whether a single file is there."""
        return any(one.path == self.path for one in self.found)

    @property
    def missing(self) -> list[str]:
        """What a record names at or below the path, and is gone."""
        return [one for one in self.ledger.missing if _is_within(one, self.path)]

    @property
    def exists(self) -> bool:
        """Whether anything is there: a file, or a folder that an upload has completed."""
        return bool(self.found) or self.path in self.ledger.finished


def survey(
    uri: str, *, root: str | None = None, options: Mapping[str, object] | None = None, patience: float = PATIENCE
) -> Survey:
    """Look at a file or folder, with the records of the folders between it and `root` (by default its own folder's).

    Raises:
        ArtifactError: It cannot be looked at, or lies outside the root.
    """
    files, place = open_files(uri, options=options, patience=patience)
    base = parent_of(place) or place
    if root is not None:
        base = open_files(root, options=options, patience=patience)[1]
        _check_inside(files, base, place)
    for _ in range(_LOOKS):
        with contextlib.suppress(_Moved):
            return _look(files, base, place)
    raise ArtifactError(f"{shown(uri)} changes faster than it can be read; try again when it is being written no more.")


def _look(files: Files, base: str, place: str) -> Survey:
    path = place.removeprefix(base).strip("/")
    sizes: dict[str, int] = {}
    for folder in _folders_above(path):
        reserved = below(folder, RESERVED)
        sizes |= {below(reserved, name): size for name, size in files.find(below(base, reserved)).items()}
    sizes |= {below(path, name): size for name, size in files.find(place).items()}
    manifests = [one for one in sizes if is_manifest(one)]
    try:
        texts = in_parallel([lambda one=one: files.read(below(base, one)) for one in manifests])
    except ArtifactError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise _Moved from error
        raise
    return Survey(files, base, path, sizes, read_ledger(sizes, dict(zip(manifests, texts, strict=True))))


def list_entries(uri: str, *, root: str | None = None, options: Mapping[str, object] | None = None) -> list[Artifact]:
    """Give the files below `uri`, their paths relative to it, sorted; an absent folder has none.

    Args:
        uri: A folder, or a file, whose path then is its name.
        root: The folder above it in which something that it is part of may have been logged.
        options: What the fsspec file system is opened with; by default as the settings say.

    Raises:
        ArtifactError: It cannot be listed.
    """
    seen = survey(uri, root=root, options=options)
    return [Artifact(_relative(one.path, seen.path), one.size, one.digest) for one in seen.found]


def list_files(uri: str, *, options: Mapping[str, object] | None = None) -> list[str]:
    """Give the relative paths of all files below `uri`, sorted; an absent folder has none."""
    return [one.path for one in list_entries(uri, options=options)]


def exists(uri: str, *, options: Mapping[str, object] | None = None) -> bool:
    """Whether a file or folder is there, and whole."""
    return survey(uri, options=options).exists


def fetch(
    uri: str,
    to: Path,
    *,
    root: str | None = None,
    options: Mapping[str, object] | None = None,
    patience: float = PATIENCE,
) -> Path:
    """Copy a file or folder to the local path `to` and give that path.

    Args:
        uri: A local path or an fsspec URL.
        to: The copy of a file, or the folder that gets the files of a folder.
        root: As in `list_entries`.
        options: As in `list_entries`.
        patience: For how many seconds a network fault is waited for.

    Raises:
        ArtifactError: Nothing is there, or it cannot be read.
        IntegrityError: A file is not the one that was recorded, or is gone.
    """
    seen = survey(uri, root=root, options=options, patience=patience)
    if not seen.exists and not _is_empty_folder(seen):
        raise ArtifactError(f"There is nothing at {shown(uri)}; check the path.")
    if seen.is_file:
        copy_out(seen, {seen.path: to})
        return to
    to.mkdir(parents=True, exist_ok=True)
    copy_out(seen, {one.path: to / check_relative(_relative(one.path, seen.path)) for one in seen.found})
    return to


def copy_out(seen: Survey, targets: Mapping[str, Path]) -> None:
    """Copy what was found to local paths, several files at once, each checked when it has arrived.

    Args:
        seen: What was found.
        targets: Where the copy of each artifact goes, by its path below the root.

    Raises:
        ArtifactError: A file cannot be read or written.
        IntegrityError: A file is not the one that was recorded, or is gone.
    """
    if seen.missing:
        raise IntegrityError(f"{seen.missing[0]!r} is gone from {shown(seen.root)}, where it was logged; log it again.")
    found = sorted(seen.found, key=lambda one: one.size)
    sizes = [one.size for one in found]
    with progress(f"Reading {PurePosixPath(seen.place).name}", sum(sizes)) as advance:
        in_parallel([lambda one=one: _fetch_one(seen, one, targets[one.path], advance) for one in found], sizes=sizes)


def _fetch_one(seen: Survey, one: Artifact, to: Path, advance: Advance) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    digest = seen.files.fetch(below(seen.root, one.path), to, advance)
    accepted = seen.ledger.accepted[one.path]
    if accepted and digest not in accepted:
        to.unlink(missing_ok=True)
        expected = " or ".join(f"{known[:12]}…" for known in sorted(accepted))
        raise IntegrityError(
            f"{one.path!r} in {shown(seen.root)} is not the file that was logged: its sha256 is {digest[:12]}…"
            f" and not {expected}; log it again."
        )


def _check_inside(files: Files, base: str, place: str) -> None:
    inside = place == base or place.startswith(f"{base}/")
    if inside and isinstance(files, LocalFiles):
        inside = Path(place).resolve().is_relative_to(Path(base).resolve())
    if not inside:
        raise ArtifactError(f"{shown(place)} leads out of {shown(base)}; use a path below it.")


def _is_empty_folder(seen: Survey) -> bool:
    return isinstance(seen.files, LocalFiles) and not seen.sizes and Path(seen.place).is_dir()


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")[:-1] if path else []
    return ["/".join(parts[:depth]) for depth in range(len(parts) + 1)] if path else []


def _is_within(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _relative(path: str, folder: str) -> str:
    return PurePosixPath(path).name if path == folder else path[len(folder) :].lstrip("/")
