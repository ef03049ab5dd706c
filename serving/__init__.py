"""Serving: the model format, Bentos, endpoints, and the agent that keeps them answering.

Names are imported on first use: who loads a model needs no agent.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent import run_agent
    from .bentos import Bento, build_bento
    from .endpoints import (
        Endpoint,
        await_rollout,
        deploy_endpoint,
        get_endpoint,
        list_endpoints,
        rollback_endpoint,
        set_desired,
        stop_endpoint,
    )
    from .models import InspectedModel, LoadedModel, SavedModel, infer_signature, inspect_model, load_model, save_model
    from .runtime.signature import Column, Signature, Tensor

__all__ = [
    "Bento",
    "Column",
    "Endpoint",
    "InspectedModel",
    "LoadedModel",
    "SavedModel",
    "Signature",
    "Tensor",
    "await_rollout",
    "build_bento",
    "deploy_endpoint",
    "get_endpoint",
    "infer_signature",
    "inspect_model",
    "list_endpoints",
    "load_model",
    "rollback_endpoint",
    "run_agent",
    "save_model",
    "set_desired",
    "stop_endpoint",
]

_MODULES = {
    ".agent": ("run_agent",),
    ".bentos": ("Bento", "build_bento"),
    ".endpoints": (
        "Endpoint",
        "await_rollout",
        "deploy_endpoint",
        "get_endpoint",
        "list_endpoints",
        "rollback_endpoint",
        "set_desired",
        "stop_endpoint",
    ),
    ".models": (
        "InspectedModel",
        "LoadedModel",
        "SavedModel",
        "infer_signature",
        "inspect_model",
        "load_model",
        "save_model",
    ),
    ".runtime.signature": ("Column", "Signature", "Tensor"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)
