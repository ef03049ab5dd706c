"""What people look at: the report of a run, runs beside each other, and in what two runs differ."""

from __future__ import annotations

from .compare import Comparison, compare_runs
from .diff import Change, RunDiff, diff_as_json, diff_runs
from .publish import publish_report, publish_run_report
from .run import Report, render_run_report, report_of, save_run_report

__all__ = [
    "Change",
    "Comparison",
    "Report",
    "RunDiff",
    "compare_runs",
    "diff_as_json",
    "diff_runs",
    "publish_report",
    "publish_run_report",
    "render_run_report",
    "report_of",
    "save_run_report",
]
