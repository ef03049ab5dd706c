"""The hand that guides a sweep: asks for params, has trials run, and tells the search what the store says of them."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from ...errors import ProjectError, ProjectRunFailed, RunNotFound
from ...store import MetricHistory, Run, Store, get_run, metric_history
from ...store.entries import close_entry, tags_entry
from ...tasks.active import ActiveRun
from ...tasks.halt import ATTEMPT, PRUNE
from .plan import Plan, trial_id
from .pools import Pool
from .search import Search
from .tally import Tally, outcome_of
from .trial import Job, is_lost, objective_run, store_settings

__all__ = ["Control", "Limits"]

_TICK = 1.0
_MOST_LOSSES = 3
_POINTS = 2000
_ENDED = ("Completed", "Failed", "Cancelled")
_log = logging.getLogger("prefect_ml")


@dataclass(frozen=True)
class Limits:
    """How far a sweep may go.

    Attributes:
        parallel: How many trials run at once.
        seconds: How long new trials are begun; for ever, where it is None.
        failures: How many trials may fail; any number, where it is None.
    """

    parallel: int = 1
    seconds: float | None = None
    failures: int | None = None

    def __post_init__(self) -> None:
        if type(self.parallel) is not int or self.parallel < 1:
            raise ProjectError(f"parallel must be a whole number of 1 or more, not {self.parallel!r}.")


@dataclass
class Control:
    """Runs the trials of one sweep, each exactly once as far as anybody counts.

    Attributes:
        run: Run of the sweep.
        plan: What it is to do.
        search: Decides what to try; it knows of no trial yet.
        pool: Where trials run.
        limits: How far it may go.
        show: Called with the tally whenever it changes.
    """

    run: ActiveRun
    plan: Plan
    search: Search
    pool: Pool
    limits: Limits
    show: Callable[[Tally], object]
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        self.tally = Tally(self.plan)
        self._store: Store = self.run.store
        self._todo: deque[int] = deque()
        self._params: dict[int, dict[str, Any]] = {}
        self._running: set[int] = set()
        self._elsewhere: set[int] = set()
        self._losses: Counter[int] = Counter()
        self._until = None if self.limits.seconds is None else time.monotonic() + self.limits.seconds

    def run_all(self) -> None:
        """Run every trial that has no result yet.

        Raises:
            ProjectRunFailed: Too many trials have failed, or one cannot be run at all.
        """
        self._restore()
        self.show(self.tally)
        while self._begin() or self._running or self._elsewhere:
            for number, error in self.pool.ended(_TICK):
                self._running.discard(number)
                self._settle(number, error)
            for number in list(self._elsewhere):
                self._elsewhere.discard(number)
                self._settle(number, None)
            if self.plan.pruner != "none":
                self._stop_hopeless()
        self._check_failures()

    def _restore(self) -> None:
        """Tell the search of every trial that the store knows, and find out what is left to do."""
        lost: list[int] = []
        for number in range(self.plan.trials):
            run = self._read(number)
            params = self.plan.read_params(run.params) if run else None
            if run is None or params is None:
                self._todo.append(number)
            elif run.status in ("Completed", "Failed"):
                value, pruned = outcome_of(run, self.plan)
                self.search.restore(params, value, self._points(run), pruned=pruned)
                self.tally.count(run)
            else:
                self._params[number] = self.search.ask(number, params)
                lost.append(number) if is_lost(run) else self._elsewhere.add(number)
        self._todo.extendleft(reversed(lost))

    def _begin(self) -> bool:
        """Begin trials while there is room; tell whether any is left to begin."""
        while self._todo and len(self._running) + len(self._elsewhere) < self.limits.parallel and self._may_go_on():
            number = self._todo.popleft()
            if number not in self._params:
                self._params[number] = self.search.ask(number)
            self._running.add(number)
            self.pool.submit(self._job(number))
        self.tally.running = len(self._running) + len(self._elsewhere)
        self.show(self.tally)
        return bool(self._todo) and self._may_go_on()

    def _may_go_on(self) -> bool:
        late = self._until is not None and time.monotonic() >= self._until
        return not late and not self._too_many_failed()

    def _too_many_failed(self) -> bool:
        return self.limits.failures is not None and self.tally.failed > self.limits.failures

    def _check_failures(self) -> None:
        if self._too_many_failed():
            raise ProjectRunFailed(
                f"{self.tally.failed} trials have failed, and {self.limits.failures} may{self.tally.why(self._store)}. "
                f"Resume the sweep with resume={self.run.id!r} and a higher max_failures."
            )

    def _settle(self, number: int, error: BaseException | None) -> None:
        """Take what the store says of a trial that has ended, or is said to have."""
        run = self._read(number)
        if run is None or (is_lost(run) and run.status != "Cancelled"):
            self._lose(number, run, error)
        elif run.status in _ENDED:
            value, pruned = outcome_of(run, self.plan)
            self.search.report(number, self._points(run))
            self.search.tell(number, value, pruned=pruned)
            self.tally.count(run)
        else:  # its process has not said its last word
            self._elsewhere.add(number)

    def _lose(self, number: int, run: Run | None, error: BaseException | None) -> None:
        self._losses[number] += 1
        if self._losses[number] <= _MOST_LOSSES:
            _log.warning("Trial %s was lost (%s); it is run again.", number, error or "its process is no more")
            self._todo.appendleft(number)
        elif run is None:
            raise ProjectRunFailed(f"Trial {number} cannot be run ({type(error).__name__}: {error}).") from error
        else:  # what it does ends its process, whichever that is
            words = f"its process died {self._losses[number]} times"
            at = round(time.time() * 1000) + self.run.skew
            self.run.writer.post(close_entry(run.id, run.attempt, "Failed", at=at, error=words))
            self.search.tell(number, None)
            self.tally.count(run)

    def _stop_hopeless(self) -> None:
        for number in self._running:
            run = self._read(number)
            if run is None or run.status != "Running" or run.tags.get(PRUNE) == ATTEMPT.format(run.attempt):
                continue
            self.search.report(number, self._points(run))
            if self.search.is_hopeless(number):
                self.run.writer.post(tags_entry(run.id, {PRUNE: ATTEMPT.format(run.attempt)}))

    def _points(self, run: Run) -> Generator[tuple[int, float]]:
        """Give what a trial has reported, where a pruner asks for it."""
        if self.plan.pruner == "none":
            return
        if where := objective_run(run, self.plan.objective, self._store):
            history: MetricHistory = metric_history(
                where.id, self.plan.objective, max_points=_POINTS, store=self._store
            )
            yield from zip(history.steps.tolist(), history.values.tolist(), strict=True)

    def _job(self, number: int) -> Job:
        return Job(
            self.run.id,
            self.run.attempt,
            number,
            self._params[number],
            self.plan.objective,
            can_stop=self.plan.pruner != "none",
            experiment=self.run.experiment,
            store=store_settings(self._store),
        )

    def _read(self, number: int) -> Run | None:
        try:
            return get_run(trial_id(self.run.id, number), store=self._store)
        except RunNotFound:
            return None
