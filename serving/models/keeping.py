"""Keeping what a run has logged: the folder goes to the store, unless the same model is there already."""

from __future__ import annotations

from pathlib import Path

from ...settings import storage_options
from ...store import Store
from ...store.artifacts import exists, join, put_folder, remove
from ...store.artifacts.reading import survey
from ...store.models import LoggedModelRow, record_logged_model, same_models, share_logged_model
from ..runtime.manifest import MANIFEST, MOST_BYTES, ManifestError, parse_manifest
from .cache import ModelCache
from .payload import payload_digest
from .saving import SavedModel

__all__ = ["keep_model"]


def keep_model(saved: SavedModel, run_id: str, attempt: int, path: str, *, store: Store) -> LoggedModelRow:
    """Keep a saved model as what a run has logged under `path`, and record it.

    Where a model that differs only by who logged it when is kept already, and is whole, its folder is recorded; of
    several that are logged at once, one folder stays.

    Raises:
        ArtifactError: It cannot be stored; nothing is recorded then.
    """
    payload = payload_digest(saved.path)
    row = LoggedModelRow(run_id, attempt, path, _place(saved.digest, store), saved.digest, saved.flavor)
    there = same_models(payload, store=store)
    damaged = [uri for uri, digest in there if not _is_whole(uri, digest, store)]
    if len(damaged) < len(there):
        shared = share_logged_model(row, payload, damaged=damaged, store=store)
        if shared is not None:
            return shared
    if not exists(row.uri):
        put_folder(saved.path, row.uri, sealed=True)
    kept = record_logged_model(
        run_id, attempt, path, uri=row.uri, digest=row.digest, flavor=row.flavor, payload=payload, damaged=damaged,
        store=store,
    )  # fmt: skip
    if kept.uri != row.uri:  # somebody has logged the same meanwhile
        remove(row.uri)
    return kept


def _place(digest: str, store: Store) -> str:
    return join(store.settings.artifact_root, "models", digest[:2], digest)


def _is_whole(uri: str, digest: str, store: Store) -> bool:
    """Whether a folder has what was logged; of one elsewhere, only names and sizes are compared."""
    local = uri.removeprefix("file://")
    try:
        if "://" not in local:
            return ModelCache(store.settings).verify(Path(local)) == digest
        seen = survey(uri, root=uri, options=storage_options(uri, settings=store.settings))
        sizes = {one.path: one.size for one in seen.found}
        if not 0 < sizes.get(MANIFEST, 0) <= MOST_BYTES:
            return False
        files, found = parse_manifest(seen.files.read(f"{seen.place}/{MANIFEST}"))
    except ManifestError:
        return False
    listed = {path: entry["size"] for path, entry in files.items()}
    return found == digest and sizes == {**listed, MANIFEST: sizes[MANIFEST]}
