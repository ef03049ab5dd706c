"""Serving: the model format, Bentos, endpoints, and the agent that keeps them answering."""

from __future__ import annotations

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
