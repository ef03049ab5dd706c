"""The registry: models, versions, stages, the append-only event log and the outbox."""

from __future__ import annotations

from .aliases import delete_alias, set_alias
from .events import model_history
from .outbox import backlog, relay_pending
from .records import ModelEvent, ModelVersion, RegisteredModel
from .register import register_model
from .rules import SERVED_STAGES, STAGES, canonical_stage
from .stages import UNSET, holder_of, promote, served_holders
from .uris import ModelSource, resolve_model_uri
from .versions import get_model, get_model_version, search_model_versions, search_models

__all__ = [
    "SERVED_STAGES",
    "STAGES",
    "UNSET",
    "ModelEvent",
    "ModelSource",
    "ModelVersion",
    "RegisteredModel",
    "backlog",
    "canonical_stage",
    "delete_alias",
    "get_model",
    "get_model_version",
    "holder_of",
    "model_history",
    "promote",
    "register_model",
    "relay_pending",
    "resolve_model_uri",
    "search_model_versions",
    "search_models",
    "served_holders",
    "set_alias",
]
