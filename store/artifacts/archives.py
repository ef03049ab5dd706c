"""Unpacking archives from anywhere, .zip and .tar.gz: nothing gets out of its folder, and nothing fills the disk."""

from __future__ import annotations

import errno
import gzip
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

__all__ = ["BadArchive", "Limits", "entered", "unpack"]

_SUSPECT = 256 * 2**20  # from this size on, what is packed a thousandfold is a bomb
_MOST_RATIO = 1000
_LONGEST_READ = 16 * 2**20
_LONGEST_NAME = 4096
# What the libraries raise for damaged bytes; among it errors of the system, for places where no file can be read.
_WRONG = (zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OSError)
_NOT_THE_DISK = (None, errno.EINVAL, errno.ENAMETOOLONG)


class BadArchive(ValueError):
    """An archive cannot be unpacked; the message goes on after the archive's name."""


@dataclass(frozen=True)
class Limits:
    """How much may come out of an archive.

    Attributes:
        files: Files and folders.
        size: Bytes.
    """

    files: int = 100_000
    size: int = 8 * 2**30


@dataclass(frozen=True)
class _Member:
    """A file or folder in an archive, whatever kind that is."""

    name: str
    size: int
    is_folder: bool
    is_executable: bool
    problem: str
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, to: Path, *, limits: Limits | None = None) -> None:
    """Unpack an archive into a new folder.

    Args:
        archive: A zip, or a tar that is packed with gzip or not at all; which is told by its first bytes.
        to: The folder, which is made; after an error, the caller removes it.
        limits: How much may come out.

    Raises:
        BadArchive: It is no archive, or holds what would get out of its folder, fill the disk or not be a file.
        OSError: The folder cannot be written.
    """
    limits = limits or Limits()
    to.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, to, limits)
        else:
            _unpack_tar(archive, to, limits)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise BadArchive("holds a file and a folder of the same name; make the archive anew") from error
    except BadArchive:
        raise
    except _WRONG as error:
        if isinstance(error, OSError) and error.errno not in _NOT_THE_DISK:
            raise
        raise BadArchive(f"cannot be unpacked ({' '.join(str(error).split())}); make the archive anew") from error


def entered(folder: Path) -> Path:
    """Give the single folder at the top of what was unpacked, or else the whole."""
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _unpack_zip(archive: Path, to: Path, limits: Limits) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = [_of_zip(opened, one) for one in opened.infolist() if not one.filename.startswith("__MACOSX/")]
        # All of them are known beforehand, so that nothing is written of what will be refused.
        for _ in _checked(members, archive.stat().st_size, limits):
            pass
        for member in members:
            # What is read ends at the size that was checked, whatever the packed bytes would give.
            _write(member, to)


def _unpack_tar(archive: Path, to: Path, limits: Limits) -> None:
    with _opened_tar(archive) as opened:
        for member in _checked((_of_tar(opened, one) for one in opened), archive.stat().st_size, limits):
            _write(member, to)


@contextmanager
def _opened_tar(archive: Path) -> Generator[tarfile.TarFile]:
    with archive.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        source: Any = _Gzip(fileobj=file) if packed else file
        with tarfile.open(fileobj=source, mode="r:") as opened:
            yield opened


class _Gzip(gzip.GzipFile):
    """What is unpacked; a header may ask for more than fits into memory."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _LONGEST_READ:
            raise BadArchive("has a header that is too long; make the archive anew")
        return super().read(size)


def _of_zip(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    problem = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "is neither a file nor a folder"
    if info.flag_bits & 1:
        problem = "is encrypted"
    elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problem = "is packed in a way that is not read here"
    return _Member(info.filename, info.file_size, info.is_dir(), bool(mode & 0o111), problem, lambda: opened.open(info))


def _of_tar(opened: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    plain = (info.isreg() and not info.issparse()) or info.isdir()
    problem = "" if plain else "is neither a file nor a folder"
    return _Member(
        info.name, info.size, info.isdir(), bool(info.mode & 0o111), problem, lambda: opened.extractfile(info)
    )


def _checked(members: Iterable[_Member], packed: int, limits: Limits) -> Iterator[_Member]:
    """Give members as long as all is well with them."""
    size = count = files = 0
    seen: dict[str, str] = {}
    for member in members:
        if problem := member.problem or _problem(member.name):
            raise BadArchive(f"holds {member.name[:200]!r}, which {problem}; leave it out of the archive")
        _check_alone(member, seen)
        size, count, files = size + member.size, count + 1, files + (not member.is_folder)
        if count > limits.files or size > limits.size or (size > _SUSPECT and size > _MOST_RATIO * packed):
            raise BadArchive(
                f"would unpack to {count} files with {size} bytes or more, which is too much for an archive;"
                " give a folder, or keep data elsewhere"
            )
        yield member
    if not files:
        raise BadArchive("holds no files; make the archive anew")


def _problem(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in (path.parts or ("",))[0] or "\0" in name:
        return "leads out of its folder"
    try:
        long = len(name.encode()) > _LONGEST_NAME
    except UnicodeEncodeError:
        return "has a name that is no text"
    return "has a name that is too long" if long else ""


def _check_alone(member: _Member, seen: dict[str, str]) -> None:
    path = str(PurePosixPath(member.name))
    other = seen.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
    if other != path or (not member.is_folder and f"{path}\0" in seen):
        raise BadArchive(f"holds {other!r} and {path!r}, which are one file on some disks; rename one of them")
    if not member.is_folder:
        seen[f"{path}\0"] = path


def _write(member: _Member, to: Path) -> None:
    target = to / member.name
    if member.is_folder:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = member.open()
    if source is None:
        raise BadArchive(f"holds {member.name!r}, which is neither a file nor a folder; leave it out of the archive")
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file)
    if member.is_executable:
        target.chmod(target.stat().st_mode | 0o111)
