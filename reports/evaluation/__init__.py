"""The report of an evaluation: what a model gets right and wrong on data that it has not seen."""

from __future__ import annotations

from .records import Check, Curve, Difference, Drawings, Evaluation, Importance, Slice
from .report import draw_figures, render_evaluation

__all__ = [
    "Check",
    "Curve",
    "Difference",
    "Drawings",
    "Evaluation",
    "Importance",
    "Slice",
    "draw_figures",
    "render_evaluation",
]
