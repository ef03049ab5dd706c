"""The local cache of model folders, by digest: one download for all processes, verified once, bounded in size.

Below its root lie, for each digest, the folder and a lock: whoever has the model loaded shares the lock, and whoever
removes the folder holds it alone. A folder that is not whole yet, or belongs to one process alone, is called arriving
and has a lock of its own, by which it is known to be somebody's. `stamps` notes how verified files were.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ...errors import ArtifactError, IntegrityError
from ...locks import hold, locked_if_free
from ...settings import Settings
from ..runtime.manifest import ManifestError, files_in
from .stamps import verified

__all__ = ["CacheGarbage", "Held", "ModelCache", "clear_cache"]

_log = logging.getLogger("prefect_ml")
_ARRIVING = "arriving-"
_DIGEST = re.compile("[0-9a-f]{64}")


class Held:
    """A model folder that stays as long as this is not released.

    Attributes:
        folder: Where it lies.
        digest: sha256 of its manifest, against which it was verified; None where it has none.
    """

    def __init__(self, folder: Path, digest: str | None = None, *locks: IO[str], temporary: Path | None = None) -> None:
        self.folder = folder
        self.digest = digest
        self._locks = locks
        self._temporary = temporary
        self._pid = os.getpid()

    def release(self) -> None:
        """Let the folder go."""
        if self._temporary is not None and os.getpid() == self._pid:  # and not in a forked child
            shutil.rmtree(self._temporary, ignore_errors=True)
            _lock_of(self._temporary).unlink(missing_ok=True)
        for lock in self._locks:
            lock.close()


@dataclass(frozen=True)
class CacheGarbage:
    """What was removed from the cache, or would be.

    Attributes:
        models: Digests.
        size: Bytes.
    """

    models: tuple[str, ...]
    size: int


class ModelCache:
    """Model folders on this machine's disk."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.model_cache
        self._most = settings.model_cache_bytes

    def verify(self, folder: Path) -> str:
        """Verify a folder that lies elsewhere and stays there, and give its digest.

        Raises:
            ManifestError: A file is changed, missing, or not listed.
        """
        place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
        return verified(folder, self._note(place[:40]))

    def take(self, digest: str, fetch: Callable[[Path], object], *, name: str) -> Held:
        """Give the folder with this digest, fetched unless it is here.

        Where bytes have changed here, the folder is fetched anew.

        Args:
            digest: sha256 of its manifest.
            fetch: Copies the folder to a path, where nothing is.
            name: What messages call it.

        Raises:
            ArtifactError: It cannot be fetched, or the cache cannot be written.
            IntegrityError: What was fetched is another one, or is damaged.
        """
        place = self._root / digest
        with _translated(self._root):
            lock = hold(_lock_of(place), shared=True)
        try:
            if not self._is_good(digest):
                with _translated(self._root), hold(self._root / f"{digest}.fetching"):
                    if not self._is_good(digest):
                        self._bring(digest, fetch, name)
            os.utime(_lock_of(place))
            return Held(place, digest, lock)
        except BaseException:
            lock.close()
            raise

    def temporary(self) -> Held:
        """Give the path of a folder, not made yet, that is the caller's alone and goes when it is released.

        Raises:
            ArtifactError: The cache cannot be written.
        """
        place = self._root / f"{_ARRIVING}{uuid.uuid4().hex}"
        with _translated(self._root):
            lock = hold(_lock_of(place))
            place.mkdir(mode=0o700)
        return Held(place / "model", None, lock, temporary=place)

    def clear(self, *, dry_run: bool = False) -> CacheGarbage:
        """Remove every folder that no process uses, and what killed processes have left."""
        remove = _is_free if dry_run else self._remove
        found = [one for one in self._entries() if remove(one)]
        if not dry_run:
            self._remove_leftovers()
            shutil.rmtree(self._root / "stamps", ignore_errors=True)
        return CacheGarbage(tuple(place.name for place, _ in found), sum(size for _, size in found))

    def _is_good(self, digest: str) -> bool:
        place = self._root / digest
        if not place.is_dir():
            return False
        try:
            if verified(place, self._note(digest)) == digest:
                return True
            problem = "its manifest is another one"
        except ManifestError as error:
            problem = str(error)
        _log.warning("The cached model %s… has changed: %s; fetching it anew.", digest[:12], problem)
        return False

    def _bring(self, digest: str, fetch: Callable[[Path], object], name: str) -> None:
        arriving = self.temporary()
        try:
            fetch(arriving.folder)
            for path in files_in(arriving.folder):
                (arriving.folder / path).chmod(0o444)
            found = verified(arriving.folder, self._note(digest))
            if found != digest:
                raise ManifestError("it is not the one that was recorded")
            place = self._root / digest
            if place.exists():  # damaged; who has it open goes on with what it read
                place.rename(arriving.folder.with_name("damaged"))
            arriving.folder.rename(place)
        except ManifestError as error:
            raise IntegrityError(f"The model {name} cannot be trusted: {error}; log it again.") from error
        finally:
            arriving.release()
        self._remove_leftovers()
        self._make_room()

    def _make_room(self) -> None:
        entries = sorted(self._entries(), key=lambda one: _used_at(one[0]))
        total = sum(size for _, size in entries)
        for entry in entries:
            if total <= self._most:
                break
            if self._remove(entry):
                total -= entry[1]

    def _entries(self) -> list[tuple[Path, int]]:
        """Give each folder with its size."""
        places = list(self._root.iterdir()) if self._root.is_dir() else []
        return [(place, _size(place)) for place in places if _DIGEST.fullmatch(place.name) and place.is_dir()]

    def _remove(self, entry: tuple[Path, int]) -> bool:
        place, _ = entry
        with contextlib.suppress(OSError), locked_if_free(_lock_of(place)) as free:
            if not free:
                return False
            # Renamed first, so that a removal that is killed leaves nothing half.
            doomed = self._root / f"{_ARRIVING}{uuid.uuid4().hex}"
            place.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
            self._note(place.name).unlink(missing_ok=True)
            place.with_name(f"{place.name}.fetching").unlink(missing_ok=True)
            _lock_of(place).unlink(missing_ok=True)
            return True
        return False

    def _remove_leftovers(self) -> None:
        """Remove what killed processes have left."""
        for lock in list(self._root.glob(f"{_ARRIVING}*.lock")):
            with contextlib.suppress(OSError), locked_if_free(lock) as free:
                if free:
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    lock.unlink(missing_ok=True)
        for folder in list(self._root.glob(f"{_ARRIVING}*")):
            if folder.is_dir() and not _lock_of(folder).exists():
                shutil.rmtree(folder, ignore_errors=True)

    def _note(self, name: str) -> Path:
        return self._root / "stamps" / f"{name}.json"


def clear_cache(settings: Settings, *, dry_run: bool = False) -> CacheGarbage:
    """Remove from the cache of models what no process uses; it is fetched again when it is needed."""
    return ModelCache(settings).clear(dry_run=dry_run)


@contextmanager
def _translated(root: Path) -> Generator[None]:
    try:
        yield
    except ArtifactError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise ArtifactError(
            f"The cache of models {root} cannot be written ({reason}); make room there, or set PREFECT_ML_HOME."
        ) from error


def _lock_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.lock")


def _is_free(entry: tuple[Path, int]) -> bool:
    with contextlib.suppress(OSError), locked_if_free(_lock_of(entry[0])) as free:
        return free
    return False


def _used_at(place: Path) -> float:
    with contextlib.suppress(OSError):
        return _lock_of(place).stat().st_mtime
    return 0.0


def _size(place: Path) -> int:
    with contextlib.suppress(ManifestError):
        return sum(found.st_size for found in files_in(place).values())
    return 0
