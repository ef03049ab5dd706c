"""What `runs:/...` and `models:/...` lead to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import BadReference
from ..store import Store, current_store, get_run
from ..store.models import find_logged_model, logged_models
from .versions import get_model, get_model_version, what_exists

__all__ = ["ModelSource", "resolve_model_uri"]


@dataclass(frozen=True)
class ModelSource:
    """A model folder that the store vouches for.

    Attributes:
        uri: Where the folder lies.
        digest: sha256 of its manifest.
        run_id: The run that logged it.
    """

    uri: str
    digest: str
    run_id: str | None


def resolve_model_uri(uri: str, *, store: Store | None = None) -> ModelSource:
    """Give the folder that a reference to a logged or registered model leads to.

    Args:
        uri: `runs:/<run_id>/<path>`, `models:/<name>/<version, stage or latest>` or `models:/<name>@<alias>`.
        store: Another store than the one that the settings name.

    Raises:
        BadReference: The URI has another form.
        RunNotFound, ArtifactError, ModelNotFound, VersionNotFound: It leads to nothing.
    """
    store = current_store(store)
    if match := re.fullmatch(r"runs:/+([^/]+)/(.+)", uri):
        run_id, path = match.groups()
        get_run(run_id, store=store)
        row = find_logged_model(run_id, path, store=store)
        return ModelSource(row.uri, row.digest, run_id)
    if match := re.fullmatch(r"models:/+([^/@]+)(?:/|(?=@))([^/]+)", uri):
        version = get_model_version(*match.groups(), store=store)
        return ModelSource(version.uri, version.digest, version.run_id)
    raise BadReference(f"{uri!r} names no model; {_advice(uri, store)}.")


def _advice(uri: str, store: Store) -> str:
    """Say what to use instead: of a run or model that is named, what it has."""
    if match := re.fullmatch(r"runs:/+([^/]+)/?", uri):
        run = get_run(match[1], store=store)
        found = [f"runs:/{run.id}/{one.path}" for one in logged_models(run.id, run.attempt, store=store)]
        return f"use {' or '.join(found)}" if found else "the run has logged none"
    if match := re.fullmatch(r"models:/+([^/@]+)[/@]?", uri):
        get_model(match[1], store=store)
        with store.read() as connection:
            return f"name a version, stage or alias: it has {what_exists(connection, match[1])}"
    return "use runs:/<run_id>/<path>, models:/<name>/<version, stage or latest> or models:/<name>@<alias>"
