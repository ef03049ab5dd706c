"""The registry's changes, with their events handed to Prefect at once where it can be reached."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from .. import registry
from ..errors import ServiceError
from ..registry import ModelEvent, ModelVersion
from ..running import relay_url
from ..store import Store, current_store

__all__ = ["promote", "register_model"]

_log = logging.getLogger("prefect_ml")


def register_model(
    name: str,
    uri: str,
    *,
    description: str = "",
    tags: Mapping[str, str] | None = None,
    store: Store | None = None,
) -> ModelVersion:
    """Make a new version of a model from what a run has logged, and tell Prefect.

    Args:
        name: Name of the model; it is made when it is new.
        uri: `runs:/<run_id>/<path>` or `models:/<name>/<version>`.
        description: What is special about this version.
        tags: Tags of the version.
        store: Another store than the one that the settings name.

    Raises:
        RegistryError: The name cannot be one, or the model's files are not there.
        RunNotFound, ArtifactError: The URI leads to nothing.
    """
    store = current_store(store)
    version = registry.register_model(name, uri, description=description, tags=dict(tags or {}), store=store)
    _tell_prefect(store)
    return version


def promote(
    name: str,
    version: int,
    *,
    to: str,
    reason: str = "",
    expect: int | None = registry.UNSET,
    store: Store | None = None,
) -> ModelEvent:
    """Give a stage to a version, and tell Prefect.

    The promotion is done when this returns; where Prefect is away, its event waits in the outbox and is relayed later.

    Args:
        name: Name of the model.
        version: The version to promote.
        to: None, Staging, Production or Archived.
        reason: Why, in the words of whoever decides.
        expect: The version believed to hold the stage (None: nobody); left out, the last promotion wins.
        store: Another store than the one that the settings name.

    Raises:
        ModelNotFound, VersionNotFound, UnknownStage: There is no such thing.
        StageConflict: Another version than `expect` holds the stage.
    """
    store = current_store(store)
    event = registry.promote(name, version, to=to, reason=reason, expect=expect, store=store)
    _tell_prefect(store)
    return event


def _tell_prefect(store: Store) -> None:
    url = relay_url(store.settings)
    if url is None:
        return
    try:
        registry.relay_pending(url, auth=os.environ.get("PREFECT_API_AUTH_STRING"), store=store)
    except ServiceError as error:
        _log.warning("%s", error)
