"""Finding out a model's signature: from data, from type hints, or from what the model answers."""

from __future__ import annotations

from .inference import infer_signature

__all__ = ["infer_signature"]
