"""What people look at: the report of a run."""

from __future__ import annotations

from .publish import publish_run_report
from .run_report import Report, render_run_report

__all__ = ["Report", "publish_run_report", "render_run_report"]
