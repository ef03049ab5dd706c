"""Zip archives of projects, unpacked so that nothing gets out of its folder and nothing fills the disk."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from ....errors import ProjectError
from ....locks import locked
from ....settings import Settings
from .cache import arriving_in, key_of, projects_of, touch

__all__ = ["unpacked"]

_MOST_FILES = 100_000
_MOST_BYTES = 8 * 2**30
_SUSPECT = 256 * 2**20  # from this size on, what is packed a thousandfold is no project
_MOST_RATIO = 1000


def unpacked(archive: Path, digest: str, *, name: str, shown: str, settings: Settings) -> Path:
    """Give the folder that an archive holds, unpacked unless it is here; a single folder at its top is entered.

    Args:
        archive: The zip.
        digest: sha256 of it.
        name: What the folder is called where the archive has no single folder at its top.
        shown: Its address as messages show it.
        settings: Where the cache is.

    Raises:
        ProjectError: It is no zip, or holds what would get out of its folder or fill the disk.
    """
    cache = projects_of(settings) / key_of(digest, name)
    place = cache / digest
    with locked(cache.parent / f"{cache.name}.lock"):
        if not place.is_dir():
            with arriving_in(cache) as arriving:
                _unpack(archive, arriving / (name or "project"), shown)
                arriving.rename(place)
    touch(place)
    return _entered(place / (name or "project"))


def _unpack(archive: Path, to: Path, shown: str) -> None:
    to.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [one for one in opened.infolist() if not one.filename.startswith("__MACOSX/")]
            _check(members, shown)
            for member in members:
                _extract(opened, member, to)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        raise ProjectError(
            f"{shown} cannot be unpacked ({' '.join(str(error).split())}); make the zip anew."
        ) from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise ProjectError(f"{shown} holds a file and a folder of the same name; make the zip anew.") from error


def _check(members: list[zipfile.ZipInfo], shown: str) -> None:
    if not any(not member.is_dir() for member in members):
        raise ProjectError(f"{shown} holds no files; make the zip from the project's folder.")
    for member in members:
        if problem := _problem(member):
            raise ProjectError(f"{shown} holds {member.filename!r}, which {problem}; leave it out of the zip.")
    size, packed = sum(one.file_size for one in members), sum(one.compress_size for one in members)
    if len(members) > _MOST_FILES or size > _MOST_BYTES or (size > _SUSPECT and size > _MOST_RATIO * max(packed, 1)):
        raise ProjectError(
            f"{shown} would unpack to {len(members)} files with {size} bytes, more than a project may have;"
            " keep data elsewhere and give it as a parameter."
        )


def _problem(member: zipfile.ZipInfo) -> str:
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in path.parts[0]:
        return "leads out of its folder"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is neither a file nor a folder"
    return "is encrypted" if member.flag_bits & 1 else ""


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, to: Path) -> None:
    target = to / member.filename
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # What is read ends at the size that was checked, whatever the packed bytes would give.
    with opened.open(member) as packed, target.open("xb") as file:
        shutil.copyfileobj(packed, file)
    if (member.external_attr >> 16) & 0o111:
        target.chmod(target.stat().st_mode | 0o111)


def _entered(folder: Path) -> Path:
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
