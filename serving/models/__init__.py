"""The model format: one folder that every tool can read, load and trust."""

from __future__ import annotations

from .choosing import flavor_for
from .inspecting import InspectedModel, inspect_model
from .loading import LoadedModel, fetch_model, load_model
from .saving import SavedModel, save_model
from .signatures import infer_signature

__all__ = [
    "InspectedModel",
    "LoadedModel",
    "SavedModel",
    "fetch_model",
    "flavor_for",
    "infer_signature",
    "inspect_model",
    "load_model",
    "save_model",
]
