"""In what two runs differ, likely causes first."""

from __future__ import annotations

from .change import Change
from .runs import RunDiff, diff_as_json, diff_runs

__all__ = ["Change", "RunDiff", "diff_as_json", "diff_runs"]
