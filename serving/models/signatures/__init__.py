"""Finding out a model's signature: from data, from type hints, or from what the model answers."""

from __future__ import annotations

from .hints import hinted_signature
from .inference import infer_outputs, infer_signature

__all__ = ["hinted_signature", "infer_outputs", "infer_signature"]
