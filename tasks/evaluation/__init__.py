"""Evaluating a model on data: metrics, figures, slices, thresholds, and two models side by side."""

from __future__ import annotations

from .evaluating import evaluate
from .metrics import Metric

__all__ = ["Metric", "evaluate"]
