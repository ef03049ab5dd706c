"""`sweep`: the front door, which decides where a sweep runs and under which run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from ...errors import ProjectError
from ...running import flow_run, is_api_known
from ...settings import load_settings
from ...store import Run, Store, current_store, get_run
from ...tasks.active import current_run, entered
from .control import Limits
from .course import Course
from .earlier import adopt, begun_before, key_of
from .plan import Asked, make_plan, plan_of
from .pools import LocalPool, PrefectPool, task_runner_of
from .result import SweepResult
from .target import FunctionTarget, SentTarget, Target, target_of
from .trial import is_lost

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
    asked = Asked(space, method, trials, objective, direction, seed, pruner)
    target = target_of(objective_or_project, entry_point, environment, version)
    limits = Limits(parallel, timeout, max_failures)
    store = current_store(store)
    before = _over(get_run(resume, store=store)) if resume else None
    plan = plan_of(before, asked) if before else make_plan(asked)
    course = Course(asked, plan, target, limits, store, name, experiment or target.experiment)
    return _swept(course.after(before) if before else course, task_runner)


def _swept(given: Course, task_runner: Any) -> SweepResult:
    """Run a sweep, unless an earlier attempt of what is around it has done so."""
    course = replace(given, target=given.target.checked(given.plan.space))
    course.search()  # what is wrong with it is said before anything begins
    if not _in_threads(task_runner):
        SentTarget(course.target).pickled()
    local = _is_local(course.target, task_runner)
    runner = task_runner or "threads" if local else task_runner_of(task_runner, course.limits.parallel)
    key = None if course.resume else key_of(given.identity, course.store)
    if key and (before := begun_before(key, course.store)):
        course = replace(course.after(_over(before)), plan=plan_of(before, course.asked))
        adopt(key, course.title, course.store)
        if before.status == "Completed":
            return course.result_of(before)
    sent = SentTarget(course.target)
    if local:
        return replace(course, key=key).run(LocalPool(runner, course.limits.parallel, sent))
    return _in_prefect(replace(course, key=key), runner, sent)


def _in_prefect(course: Course, task_runner: Any, sent: SentTarget) -> SweepResult:
    is_api_known(load_settings())  # before Prefect is imported
    from prefect import flow
    from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings

    here = _Here(course, sent)

    def body(**plan: Any) -> str:
        return here.run()

    make: Any = flow(
        name="sweep",
        flow_run_name=course.title,
        description="A sweep of prefect-ml: trials with many parameters, to find those that do best.",
        task_runner=task_runner,
        validate_parameters=False,
        persist_result=False,  # else Prefect may answer the sweep of a flow that is tried again, which is ours to do
    )
    outer = current_run()  # which Prefect may know of only: the sweep's run is below it
    around = entered(outer) if outer else nullcontext()
    with around, temporary_settings(updates={PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 180}):
        make(body)(**course.plan.as_params(), parallel=course.limits.parallel)
    assert here.result is not None
    return here.result


class _Here:
    """A sweep in this process; task runners pickle the flow for others, which have no use for it."""

    def __init__(self, course: Course | None = None, sent: SentTarget | None = None) -> None:
        self.course = course
        self.sent = sent
        self.result: SweepResult | None = None

    def __reduce__(self) -> Any:
        return (_Here, ())

    def run(self) -> str:
        """Run it in the flow run around; give the id of its run."""
        assert self.course is not None
        assert self.sent is not None
        self.result = self.course.run(PrefectPool(self.sent))
        return self.result.run_id


def _is_local(target: Target, task_runner: Any) -> bool:
    """Whether to do without Prefect: where it has no API, and nothing of it was asked for."""
    if (isinstance(target, FunctionTarget) and target.is_flow) or (
        task_runner is not None and task_runner not in _LOCAL
    ):
        return False
    return flow_run() is None and not is_api_known(load_settings())


def _over(run: Run) -> Run:
    if run.status == "Running" and not is_lost(run):
        raise ProjectError(
            f"Sweep {run.id} is still running, as far as the store knows; if its machine has died, this shows a minute"
            " after its last sign of life."
        )
    return run


def _in_threads(task_runner: Any) -> bool:
    return task_runner in (None, "threads") or type(task_runner).__name__ == "ThreadPoolTaskRunner"
