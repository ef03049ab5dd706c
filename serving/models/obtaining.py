"""Getting a model folder onto this machine: verified, where it lies if it can stay there, and trusted or refused."""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import ArtifactError, IntegrityError, ModelError, UntrustedModel
from ...settings import Settings, load_settings, storage_options
from ...store import Store, current_store
from ...store.artifacts import fetch
from ...store.artifacts.reading import survey
from ...store.models import is_vouched
from ..runtime.descriptor import DESCRIPTOR
from ..runtime.manifest import MANIFEST, MOST_BYTES, ManifestError, files_in, parse_manifest
from ..runtime.model import executes_on_load
from .archives import unpacked_model
from .cache import Held, ModelCache
from .references import Reference, describe_nothing

__all__ = ["obtain"]


def obtain(reference: Reference, *, trust: bool, store: Store | None) -> Held:
    """Give the folder that a reference leads to, verified; it stays until it is released.

    Folders of this user's are used where they lie; all others are copied to the cache first.

    Raises:
        IntegrityError: A file is not the one that was saved, or the model is not the one that was recorded.
        UntrustedModel: Loading it would run code that the store has no record of, and `trust` was not given.
        ArtifactError: There is no such folder, or it cannot be copied.
        ModelError: It is no model that can be read here.
    """
    held = _held(reference, store.settings if store else load_settings())
    try:
        if not (held.folder / DESCRIPTOR).is_file():
            raise describe_nothing(reference, held.folder)
        _check(held, reference, trust=trust, store=store)
    except BaseException:
        held.release()
        raise
    return held


def _held(reference: Reference, settings: Settings) -> Held:
    cache = ModelCache(settings)
    options = storage_options(reference.place, settings=settings) if reference.local is None else None
    if reference.is_archive:
        return _unpacked(reference, cache, options)
    folder = reference.local
    if folder is not None and not folder.is_dir():
        raise describe_nothing(reference, folder) if folder.exists() else _gone(reference)
    if folder is not None and _is_mine(folder):
        return Held(folder, _verified(reference, folder, cache))
    digest = reference.digest or _digest_there(reference, options)
    if digest is None:
        return _alone(reference, cache, options)
    return cache.take(digest, lambda to: fetch(reference.place, to, options=options), name=reference.uri)


def _unpacked(reference: Reference, cache: ModelCache, options: dict[str, object] | None) -> Held:
    held = cache.temporary()
    try:
        archive = reference.local or fetch(reference.place, held.folder.with_name("archive"), options=options)
        held.folder = unpacked_model(archive, held.folder, shown=reference.uri)
        held.digest = _verified(reference, held.folder, cache)
    except BaseException:
        held.release()
        raise
    return held


def _alone(reference: Reference, cache: ModelCache, options: dict[str, object] | None) -> Held:
    """Copy a folder that has no manifest: nobody can tell whether a copy of it is still the same."""
    held = cache.temporary()
    try:
        fetch(reference.place, held.folder, options=options)
    except BaseException:
        held.release()
        raise
    return held


def _is_mine(folder: Path) -> bool:
    """Whether nobody but this user, and root, writes the files of a folder."""
    try:
        return all(found.st_uid == os.geteuid() for found in (folder.stat(), *files_in(folder).values()))
    except ManifestError:
        return True  # it is refused by name where it is verified


def _digest_there(reference: Reference, options: dict[str, object] | None) -> str | None:
    """Give what the manifest of a folder elsewhere says, or None where it has none."""
    seen = survey(reference.place, root=reference.place, options=options)
    if not seen.exists:
        raise _gone(reference)
    if not 0 < seen.sizes.get(MANIFEST, 0) <= MOST_BYTES:
        return None
    try:
        return parse_manifest(seen.files.read(f"{seen.place}/{MANIFEST}"))[1]
    except ManifestError as error:
        raise _untrusted(reference, error) from error


def _verified(reference: Reference, folder: Path, cache: ModelCache) -> str | None:
    try:
        if reference.digest is None and not (folder / MANIFEST).exists():
            return None
        return cache.verify(folder)
    except ManifestError as error:
        raise _untrusted(reference, error) from error


def _check(held: Held, reference: Reference, *, trust: bool, store: Store | None) -> None:
    if reference.digest is not None:
        if held.digest != reference.digest:
            raise IntegrityError(
                f"The model {reference.uri} is not the one that was recorded: its {MANIFEST} differs; log it again."
            )
        return
    if trust or (held.digest and is_vouched(held.digest, store=current_store(store))):
        return
    try:
        executes = executes_on_load(held.folder)
    except ValueError as error:
        raise ModelError(f"The model {reference.uri} cannot be read here: {error}.") from error
    if executes:
        raise UntrustedModel(
            f"Loading {reference.uri} would run {' and '.join(executes)}, of which this store has no record;"
            " if you know where it comes from, say load_model(..., trust=True)."
        )


def _gone(reference: Reference) -> ArtifactError:
    return ArtifactError(f"There is nothing at {reference.place}; check the path, or log the model again.")


def _untrusted(reference: Reference, error: ManifestError) -> IntegrityError:
    return IntegrityError(f"The model {reference.uri} cannot be trusted: {error}; save it again.")
