"""What a sweep has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...store import Run, RunList

__all__ = ["SweepResult"]


@dataclass(frozen=True)
class SweepResult:
    """What a sweep has found.

    Attributes:
        run_id: Run of the sweep; `sweep(..., resume=run_id)` goes on with one that did not come to its end.
        objective: Name of the metric that it looked at.
        direction: minimize or maximize.
        trials: Runs of its trials, in the order of their numbers; `to_pandas()` gives a table.
        best: Run of the trial that did best, or None where none has a value.
        best_params: Its params, as the space has them.
        best_value: Its objective.
        counts: How many trials completed, were pruned and failed.
    """

    run_id: str
    objective: str
    direction: str
    trials: RunList
    best: Run | None
    best_params: Mapping[str, Any]
    best_value: float | None
    counts: Mapping[str, int]
