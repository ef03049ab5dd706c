"""`sweep`: the front door, which decides where a sweep runs and under which run."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...errors import ProjectError, ProjectRunFailed, RunNotFound
from ...running import flow_run, is_api_known
from ...settings import load_settings
from ...store import Run, RunList, Store, current_store, get_run
from ...tasks.active import ActiveRun, entered
from ...tasks.log import log_metric, log_params, set_tags
from ...tasks.scope import Scope, closing, open_scope
from .control import Control, Limits, Tally
from .plan import Asked, Plan, make_plan, plan_of, trial_id
from .pools import LocalPool, Pool, PrefectPool, task_runner_of
from .result import SweepResult
from .search import Search
from .showing import showing, tell_result
from .target import FlowTarget, SentTarget, Target, target_of
from .trial import is_lost, process_tag

__all__ = ["sweep"]

_LOCAL = ("threads", "processes")


def sweep(  # noqa: PLR0913 - all but the first two by name
    objective_or_project: Any,
    space: Mapping[str, Any] | None = None,
    *,
    method: str | None = None,
    trials: int | None = None,
    parallel: int = 1,
    objective: str | None = None,
    direction: str | None = None,
    task_runner: Any = None,
    experiment: str | None = None,
    name: str | None = None,
    seed: int | None = None,
    resume: str | None = None,
    pruner: Any = None,
    timeout: float | None = None,
    max_failures: int | None = None,
    entry_point: str = "main",
    environment: str | None = None,
    version: str | None = None,
    store: Store | None = None,
) -> SweepResult:
    """Run a function, a flow or a project with many parameters, and find those that do best.

    Each trial is a run below the sweep's own, and is written to the store as it goes: a sweep that was killed goes on
    with `resume=`, loses no trial and repeats none that had ended. Where a Prefect API is known, the sweep is a flow
    run and its trials are task runs; elsewhere they run in threads or processes, without Prefect.

    Args:
        objective_or_project: A function, which may be tracked; a Prefect flow; or the folder or URI of a project.
        space: For each parameter a list of values, a range, or one of `space.uniform`, `space.loguniform`,
            `space.integers` and `space.choice`. Left out when a sweep is resumed.
        method: tpe, which learns from the trials before; random; or grid, which takes every combination.
        trials: How many trials to make; 20 by default, and all points of a grid.
        parallel: How many trials run at once.
        objective: The metric that counts, `rmse` or `metrics.rmse`: the last value that a trial has logged, or else
            what it returns. "objective" by default.
        direction: minimize or maximize.
        task_runner: "threads", "processes", "dask", "ray", or one of Prefect's task runners; threads by default.
        experiment: Experiment of the runs; that of a tracked function, of the run around it, or of the settings.
        name: Name of the sweep.
        seed: What random choices begin with, so that they can be made again.
        resume: Run id of a sweep to go on with.
        pruner: "median", "halving" or "hyperband", or a pruner of Optuna's; stops trials that do badly early.
        timeout: Begin no trial after so many seconds; those that run come to their end.
        max_failures: How many trials may fail before no more are begun and the sweep fails; any number by default.
        entry_point: Entry point of a project.
        environment: Kind of environment of a project; what it declares by default.
        version: Branch, tag or commit of a project; all trials run the commit that it names when the sweep begins.
        store: Another store than the one that the settings name.

    Raises:
        ProjectError: Something cannot be swept as it was asked for; nothing has run.
        RunNotFound: There is no run `resume`.
        ProjectRunFailed: Too many trials have failed, or all of them.
    """
    if type(parallel) is not int or parallel < 1:
        raise ProjectError(f"parallel must be a whole number of 1 or more, not {parallel!r}.")
    store = current_store(store)
    before = _resumable(resume, store) if resume else None
    version = version or (before and before.params.get("version"))
    asked = Asked(space, method, trials, objective, direction, seed, pruner)
    plan = plan_of(before, asked) if before else make_plan(asked)
    target = target_of(objective_or_project, entry_point, environment, version).checked(plan.space)
    limits = Limits(parallel, timeout, max_failures)
    sweeping = _Sweep(target, plan, limits, name, experiment or target.experiment, resume, pruner, store)
    sweeping.search()  # what is wrong with it is said before anything begins
    sent = SentTarget(target)
    if not _in_threads(task_runner):
        sent.pickled()
    if _is_local(target, task_runner):
        return sweeping.run(LocalPool(task_runner or "threads", parallel, sent))
    return _in_prefect(sweeping, task_runner_of(task_runner, parallel), sent)


@dataclass(frozen=True)
class _Sweep:
    """One sweep, wherever it runs."""

    target: Target
    plan: Plan
    limits: Limits
    name: str | None
    experiment: str | None
    resume: str | None
    pruner: Any
    store: Store

    @property
    def title(self) -> str:
        return self.name or f"sweep {self.target.name}"

    def search(self) -> Search:
        return Search(self.plan, self.pruner)

    def run(self, pool: Pool) -> SweepResult:
        """Run every trial in the pool."""
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

    @contextmanager
    def _opened(self) -> Generator[ActiveRun]:
        """Open the sweep's run, or the one that is resumed."""
        scope = Scope(
            self.title,
            self.experiment,
            entry_point=self.target.entry_point,
            file=self.target.file,
            run_id=self.resume,
            resume=self.resume is not None,
        )
        run = open_scope(scope, store=self.store)
        with closing(run), entered(run):
            set_tags({"sweep": "true", "parallel": self.limits.parallel, "process": process_tag()})
            if self.resume is None:
                version = {"version": self.target.version} if self.target.version else {}
                log_params({"target": self.target.name, **version, **self.plan.as_params()})
            yield run

    def _trials(self, sweep_id: str) -> list[Run]:
        found: list[Run] = []
        for number in range(self.plan.trials):
            run_id = trial_id(sweep_id, number)
            if _is_known(run_id, self.store):
                found.append(get_run(run_id, store=self.store))
        return found

    def _conclude(self, tally: Tally, trials: list[Run]) -> None:
        if tally.best and tally.best_value is not None:
            log_metric(f"best/{self.plan.objective}", tally.best_value)
            set_tags({"best_run": tally.best.id})
        tell_result(self.plan, tally, trials)

    def _result(self, sweep_id: str, tally: Tally, trials: list[Run]) -> SweepResult:
        if tally.ended and tally.failed == tally.ended:
            raise ProjectRunFailed(f"All {tally.failed} trials of the sweep have failed; their runs say why.")
        best = tally.best
        return SweepResult(
            sweep_id,
            self.plan.objective,
            self.plan.direction,
            RunList(trials),
            best,
            (self.plan.read_params(best.params) or {}) if best else {},
            tally.best_value,
            {"completed": tally.completed, "pruned": tally.pruned, "failed": tally.failed},
        )


def _in_prefect(sweeping: _Sweep, task_runner: Any, sent: SentTarget) -> SweepResult:
    is_api_known(load_settings())  # before Prefect is imported
    from prefect import flow
    from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings

    here = _Here(sweeping, sent)

    def body(**plan: Any) -> str:
        return here.run()

    make: Any = flow(
        name="sweep",
        flow_run_name=sweeping.title,
        description="A sweep of prefect-ml: trials with many parameters, to find those that do best.",
        task_runner=task_runner,
        validate_parameters=False,
    )
    with temporary_settings(updates={PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 180}):
        make(body)(**sweeping.plan.as_params(), parallel=sweeping.limits.parallel)
    assert here.result is not None
    return here.result


class _Here:
    """A sweep in this process; task runners pickle the flow for others, which have no use for it."""

    def __init__(self, sweeping: _Sweep | None = None, sent: SentTarget | None = None) -> None:
        self.sweeping = sweeping
        self.sent = sent
        self.result: SweepResult | None = None

    def __reduce__(self) -> Any:
        return (_Here, ())

    def run(self) -> str:
        """Run it in the flow run around; give the id of its run."""
        assert self.sweeping is not None
        assert self.sent is not None
        self.result = self.sweeping.run(PrefectPool(self.sent))
        return self.result.run_id


def _is_local(target: Target, task_runner: Any) -> bool:
    """Whether to do without Prefect: where it has no API, and nothing of it was asked for."""
    if isinstance(target, FlowTarget) or (task_runner is not None and task_runner not in _LOCAL):
        return False
    return flow_run() is None and not is_api_known(load_settings())


def _resumable(run_id: str, store: Store) -> Run:
    run = get_run(run_id, store=store)
    if run.status == "Running" and not is_lost(run):
        raise ProjectError(
            f"Sweep {run_id} is still running, as far as the store knows; if its machine has died, this shows a minute"
            " after its last sign of life."
        )
    return run


def _is_known(run_id: str, store: Store) -> bool:
    try:
        get_run(run_id, store=store)
    except RunNotFound:
        return False
    return True


def _in_threads(task_runner: Any) -> bool:
    return task_runner in (None, "threads") or type(task_runner).__name__ == "ThreadPoolTaskRunner"
