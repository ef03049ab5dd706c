"""Zip archives of projects, unpacked so that nothing gets out of its folder and nothing fills the disk."""

from __future__ import annotations

from pathlib import Path

from ....errors import ProjectError
from ....locks import locked
from ....settings import Settings
from ....store.artifacts.archives import BadArchive, entered, unpack
from .cache import arriving_in, key_of, projects_of, touch

__all__ = ["unpacked"]


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
    return entered(place / (name or "project"))


def _unpack(archive: Path, to: Path, shown: str) -> None:
    try:
        unpack(archive, to)
    except BadArchive as error:
        raise ProjectError(f"{shown} {error}.") from error
