"""One run, whole: its report as markdown and as a page."""

from __future__ import annotations

from .reading import report_of, save_run_report
from .report import Report, render_run_report

__all__ = ["Report", "render_run_report", "report_of", "save_run_report"]
