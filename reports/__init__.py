"""What people look at: the report of a run, and runs beside each other."""

from __future__ import annotations

from .comparison import Comparison, compare_runs
from .publish import publish_run_report
from .run_report import Report, render_run_report

__all__ = ["Comparison", "Report", "compare_runs", "publish_run_report", "render_run_report"]
