"""How far a sweep is, counted from the runs of its trials."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...store import Run, Store
from ...store.queries import error_of
from ...tasks.halt import PRUNED
from .plan import Plan

__all__ = ["Tally", "outcome_of", "tally_of"]


@dataclass
class Tally:
    """How far a sweep is.

    Attributes:
        plan: What it is to do.
        best: The trial that did best so far.
        first_failed: The trial that was the first to fail.
    """

    plan: Plan
    running: int = 0
    completed: int = 0
    pruned: int = 0
    failed: int = 0
    best: Run | None = None
    best_value: float | None = None
    first_failed: Run | None = None

    @property
    def trials(self) -> int:
        """How many trials the sweep makes."""
        return self.plan.trials

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return self.completed + self.pruned + self.failed

    @property
    def counts(self) -> dict[str, int]:
        """How many trials have ended in which way."""
        return {"completed": self.completed, "pruned": self.pruned, "failed": self.failed}

    def count(self, run: Run) -> None:
        """Count a trial that has ended."""
        value, pruned = outcome_of(run, self.plan)
        if pruned:
            self.pruned += 1
        elif value is None:
            self.failed += 1
            self.first_failed = self.first_failed or run
        else:
            self.completed += 1
            sign = 1 if self.plan.direction == "minimize" else -1
            if self.best_value is None or sign * value < sign * self.best_value:
                self.best, self.best_value = run, value

    def why(self, store: Store) -> str:
        """Say what the first trial to fail has failed with, as the end of a sentence."""
        run = self.first_failed
        error = run and error_of(run.id, store=store)
        if run is None or not error:
            return "; their runs say why"
        return f"; {run.name} with {error.strip().splitlines()[0].rstrip('.')!r}"


def tally_of(plan: Plan, trials: Iterable[Run]) -> Tally:
    """Count the trials of a sweep that is over."""
    tally = Tally(plan)
    for run in trials:
        if run.status in ("Completed", "Failed"):
            tally.count(run)
    return tally


def outcome_of(run: Run, plan: Plan) -> tuple[float | None, bool]:
    """Give the value of a trial that has ended, if it has one, and whether it was pruned."""
    done = run.status == "Completed"
    return run.metrics.get(plan.objective) if done else None, done and run.tags.get(PRUNED) == "true"
