"""The course of one sweep: its run is opened, its trials are run in a pool, and what they found is told."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ...errors import ProjectError, ProjectRunFailed, RunNotFound
from ...store import Run, RunList, Store, get_run
from ...tasks.active import ActiveRun, entered
from ...tasks.log import log_metric, log_params, set_tags
from ...tasks.scope import Scope, closing, open_scope
from .control import Control, Limits
from .earlier import KEY, note_key
from .plan import Asked, Plan, trial_id
from .pools import Pool
from .result import SweepResult
from .search import Search
from .showing import showing, tell_result
from .tally import Tally, tally_of
from .target import ProjectTarget, Target
from .trial import process_tag

__all__ = ["Course"]


@dataclass(frozen=True)
class Course:
    """One sweep, wherever it runs.

    Attributes:
        asked: What its caller says.
        plan: What it does.
        target: What it runs.
        limits: How far it may go.
        store: Where its runs are.
        name: Its name; made of the target's where it is None.
        experiment: Experiment of its runs.
        resume: Run of the sweep to go on with.
        key: What it is known by when its call is made again.
    """

    asked: Asked
    plan: Plan
    target: Target
    limits: Limits
    store: Store
    name: str | None = None
    experiment: str | None = None
    resume: str | None = None
    key: str | None = None

    @property
    def title(self) -> str:
        """Name of its run."""
        return self.name or f"sweep {self.target.name}"

    def search(self) -> Search:
        """Give a search that knows of no trial yet.

        Raises:
            ProjectError: Optuna is missing, or the pruner is none.
        """
        return Search(self.plan, self.asked.pruner)

    @property
    def identity(self) -> dict[str, Any]:
        """What tells it from other sweeps of the same code, as plain values."""
        target = {"target": self.target.name, "version": self.target.version}
        return {**self.plan.as_params(), "seed": self.asked.seed, "name": self.title, **target}

    def after(self, before: Run) -> Course:
        """Give the same sweep as one that goes on with a run of it.

        Raises:
            ProjectError: That run has swept something else.
        """
        target, version = self.target, before.params.get("version")
        if (swept := before.params.get("target")) not in (None, target.name):
            raise ProjectError(f"Sweep {before.id} is one of {swept!r}, not of {target.name!r}; begin another sweep.")
        if isinstance(target, ProjectTarget) and version:  # a branch may have moved meanwhile
            target = replace(target, version=version)
        return replace(self, target=target, name=before.name, resume=before.id)

    def run(self, pool: Pool) -> SweepResult:
        """Run every trial in the pool.

        Raises:
            ProjectRunFailed: Too many trials have failed, or all of them.
        """
        try:
            with self._opened() as run, showing(self.plan, run.id) as show:
                control = Control(run, self.plan, self.search(), pool, self.limits, show)
                try:
                    control.run_all()
                finally:
                    trials = self._trials(run.id)
                    self._conclude(control.tally, trials)
                return self._result(run.id, control.tally, trials)
        finally:
            pool.close()

    def result_of(self, before: Run) -> SweepResult:
        """Give what a sweep that is over has found."""
        trials = self._trials(before.id)
        return self._result(before.id, tally_of(self.plan, trials), trials)

    @contextmanager
    def _opened(self) -> Generator[ActiveRun]:
        """Open the sweep's run, or the one that is resumed."""
        scope = Scope(
            self.title,
            self.experiment,
            {KEY: self.key} if self.key else {},
            entry_point=self.target.entry_point,
            file=self.target.file,
            run_id=self.resume,
            resume=self.resume is not None,
        )
        run = open_scope(scope, store=self.store)
        with closing(run), entered(run):
            set_tags({"sweep": "true", "parallel": self.limits.parallel, "process": process_tag()})
            if self.resume is None:
                self._tell_plan(run)
            yield run

    def _tell_plan(self, run: ActiveRun) -> None:
        version = {"version": self.target.version} if self.target.version else {}
        log_params({"target": self.target.name, **version, **self.plan.as_params()})
        if self.key:
            note_key(run, self.key)

    def _trials(self, sweep_id: str) -> list[Run]:
        found = (_known(trial_id(sweep_id, number), self.store) for number in range(self.plan.trials))
        return [run for run in found if run]

    def _conclude(self, tally: Tally, trials: list[Run]) -> None:
        if tally.best and tally.best_value is not None:
            log_metric(f"best/{self.plan.objective}", tally.best_value)
            set_tags({"best_run": tally.best.id})
        tell_result(self.plan, tally, trials)

    def _result(self, sweep_id: str, tally: Tally, trials: list[Run]) -> SweepResult:
        if tally.ended and tally.failed == tally.ended:
            raise ProjectRunFailed(f"All {tally.failed} trials of the sweep have failed{tally.why(self.store)}.")
        best, plan = tally.best, self.plan
        params = (plan.read_params(best.params) or {}) if best else {}
        return SweepResult(
            sweep_id, plan.objective, plan.direction, RunList(trials), best, params, tally.best_value, tally.counts
        )


def _known(run_id: str, store: Store) -> Run | None:
    try:
        return get_run(run_id, store=store)
    except RunNotFound:
        return None
