"""Runs beside each other: as a page, as markdown, and as a table."""

from __future__ import annotations

from .comparison import Comparison, compare_runs

__all__ = ["Comparison", "compare_runs"]
