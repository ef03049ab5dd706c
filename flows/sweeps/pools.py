"""Where trials run: threads, processes, or whatever task runner Prefect has. All give numbers back as trials end."""

from __future__ import annotations

import multiprocessing
import queue
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, Protocol, cast

from ...errors import ProjectError
from .target import SentTarget
from .trial import Job, run_trial

__all__ = ["Ended", "LocalPool", "Pool", "PrefectPool", "task_runner_of"]

_RUNNERS = ("threads", "processes", "dask", "ray")
Ended = tuple[int, BaseException | None]


class Pool(Protocol):
    """Runs trials at once, in any order."""

    def submit(self, job: Job) -> None:
        """Begin a trial as soon as there is room."""
        ...

    def ended(self, seconds: float) -> list[Ended]:
        """Wait for trials to end, at most so long; give their numbers, with what kept them from running."""
        ...

    def close(self) -> None:
        """Let go of everything; what has not begun does not begin."""
        ...


class LocalPool:
    """Threads or processes of this machine, without Prefect."""

    def __init__(self, kind: str, parallel: int, target: SentTarget) -> None:
        self._kind = kind
        self._parallel = parallel
        self._target = target
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._executor = self._begin()

    def submit(self, job: Job) -> None:
        """Begin a trial as soon as there is room."""
        try:
            future = self._executor.submit(run_trial, job, self._target)
        except BrokenExecutor:  # one of its processes has died, and so it has ended the others
            self._executor.shutdown(wait=False)
            self._executor = self._begin()
            future = self._executor.submit(run_trial, job, self._target)
        number = job.number
        future.add_done_callback(lambda done: self._ended.put((number, _error_of(done))))

    def ended(self, seconds: float) -> list[Ended]:
        """Wait for trials to end, at most so long."""
        return _drained(self._ended, seconds)

    def close(self) -> None:
        """Wait for what runs; what has not begun does not begin."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> Executor:
        if self._kind == "threads":
            return ThreadPoolExecutor(self._parallel, thread_name_prefix="prefect-ml-trial")
        return ProcessPoolExecutor(self._parallel, mp_context=multiprocessing.get_context("spawn"))


class PrefectPool:
    """Task runs of the flow run around us, on its task runner."""

    def __init__(self, target: SentTarget) -> None:
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        self._target = target
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._futures: dict[int, Any] = {}
        make: Any = task(name="trial", task_run_name="trial-{number}", cache_policy=NO_CACHE, log_prints=False)
        self._task: Any = make(run_as_task)

    def submit(self, job: Job) -> None:
        """Begin a trial as soon as there is room."""
        future = self._task.submit(job.number, _Opaque((job, self._target)))
        number = job.number
        self._futures[number] = future
        future.add_done_callback(lambda _: self._ended.put((number, _error_of(future.wrapped_future))))  # pyright: ignore[reportUnknownLambdaType]

    def ended(self, seconds: float) -> list[Ended]:
        """Wait for trials to end, at most so long."""
        found = self._taken(seconds)
        if any(isinstance(error, BrokenExecutor) for _, error in found):
            while self._futures:  # the death of one process ends them all
                found += self._taken(seconds)
            self._revive()
        return found

    def close(self) -> None:
        """Let go of the futures; the flow closes its task runner itself."""
        self._futures.clear()

    def _taken(self, seconds: float) -> list[Ended]:
        found = _drained(self._ended, seconds)
        for number, _ in found:
            self._futures.pop(number, None)  # so that Dask forgets what it knows of the trial
        return found

    def _revive(self) -> None:
        """Begin the processes of Prefect's pool anew."""
        from prefect.context import FlowRunContext

        context = FlowRunContext.get()
        assert context is not None
        runner: Any = context.task_runner
        runner.__exit__(None, None, None)
        runner.__enter__()


class _Opaque:
    """Keeps Prefect from looking for futures in what it holds, and its logs from showing it."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __repr__(self) -> str:
        return "<trial>"


def run_as_task(number: int, trial: Any) -> Any:
    """Run a trial as a Prefect task, which fails where the trial does."""
    from prefect.states import Failed

    job, target = trial.content
    error = run_trial(job, target)
    return number if error is None else Failed(message=error)


def task_runner_of(given: Any, parallel: int) -> Any:
    """Give Prefect's task runner of this name, or the one that was given.

    Raises:
        ProjectError: There is none of this name, or its package is not installed.
    """
    if given is not None and not isinstance(given, str):
        return given
    try:
        return _named(given or "threads", parallel)
    except ModuleNotFoundError as error:
        raise ProjectError(f"The task runner {given!r} needs a package: pip install 'prefect-ml[{given}]'.") from error


def _named(name: str, parallel: int) -> Any:
    if name == "dask":
        from prefect_dask.task_runners import DaskTaskRunner

        dask: Any = DaskTaskRunner
        return dask(cluster_kwargs={"n_workers": parallel, "threads_per_worker": 1, "dashboard_address": None})
    if name == "ray":
        import prefect_ray  # pyright: ignore[reportMissingImports]

        ray: Any = cast("Any", prefect_ray).RayTaskRunner
        return ray(init_kwargs={"num_cpus": parallel})
    if name not in _RUNNERS:
        raise ProjectError(f"There is no task runner {name!r}; use {', '.join(_RUNNERS)} or one of Prefect's.")
    from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

    local: Any = ThreadPoolTaskRunner if name == "threads" else ProcessPoolTaskRunner
    return local(max_workers=parallel)


def _error_of(future: Any) -> BaseException | None:
    """Give what kept a trial from running, as far as its future tells; the trial's own failure is in its run."""
    if not hasattr(future, "exception"):
        return None
    return ProjectError("It was cancelled.") if future.cancelled() else future.exception()


def _drained(ended: queue.SimpleQueue[Ended], seconds: float) -> list[Ended]:
    try:
        found = [ended.get(timeout=seconds)]
    except queue.Empty:
        return []
    while not ended.empty():
        found.append(ended.get())
    return found
