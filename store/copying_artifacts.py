"""Copying artifacts from one root to another, each folder as a whole, and only where it is not there yet."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import IntegrityError
from ..settings import Settings, storage_options
from . import schema
from .artifacts import fetch, list_entries, put_file, put_folder
from .artifacts.paths import shown

__all__ = ["ArtifactCopy"]


class ArtifactCopy:
    """What lies below one artifact root, on its way to another.

    Attributes:
        files: How many files were copied so far.
    """

    def __init__(self, source: Settings, target: Settings) -> None:
        self._source = source
        self._target = target
        self._done: set[str] = set()
        self.files = 0

    def moved(self, uri: str) -> str:
        """Give where an artifact lies when it is copied; what lies elsewhere stays there."""
        old, new = self._source.artifact_root.rstrip("/"), self._target.artifact_root.rstrip("/")
        return new + uri[len(old) :] if uri.startswith(f"{old}/") else uri

    def copy_runs(self, source: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Copy the artifacts of runs, and of the models that they have logged.

        Raises:
            ArtifactError: Some cannot be read or written.
            IntegrityError: A file is not the one that was logged.
        """
        logged = schema.logged_models.c
        ids = [row["id"] for row in rows]
        models = list(source.execute(sa.select(logged.uri).where(logged.run_id.in_(ids))).scalars())
        changes: list[str] = [uri for row in rows if (uri := row["source"].get("changes"))]
        self.copy([*(uri for row in rows for uri in _attempts(row)), *models, *changes])

    def copy(self, uris: Iterable[str]) -> None:
        """Copy folders and files."""
        for uri in dict.fromkeys(uris):
            if uri not in self._done and self.moved(uri) != uri:
                self._copy_one(uri, self.moved(uri))
                self._done.add(uri)

    def _is_model(self, uri: str) -> bool:
        return uri.startswith(f"{self._source.artifact_root.rstrip('/')}/models/")

    def _copy_one(self, old: str, new: str) -> None:
        reading = storage_options(old, settings=self._source)
        writing = storage_options(new, settings=self._target)
        wanted = list_entries(old, options=reading)
        if not wanted or list_entries(new, options=writing) == wanted:
            return
        with tempfile.TemporaryDirectory() as folder:
            local = fetch(old, Path(folder) / old.rpartition("/")[2], options=reading)
            if local.is_dir():
                # What is a model there is one here: nothing changes it.
                put_folder(local, new, sealed=self._is_model(old), options=writing)
            else:
                put_file(local, new, options=writing)
        there = {one.path: (one.size, one.digest) for one in list_entries(new, options=writing)}
        for one in wanted:
            size, digest = there.get(one.path, (None, None))
            if size != one.size or one.digest not in (None, digest):
                raise IntegrityError(f"{one.path!r} did not arrive whole in {shown(new)}; copy again.")
        self.files += len(wanted)


def _attempts(row: Mapping[str, Any]) -> list[str]:
    """Give the folder of each attempt of a run."""
    base, _, last = row["artifact_uri"].rpartition("/")
    if last != str(row["attempt"]):
        return [row["artifact_uri"]]
    return [f"{base}/{number}" for number in range(1, row["attempt"] + 1)]
