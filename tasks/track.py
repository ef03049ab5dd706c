"""The decorators: `@track` keeps the kind of what it decorates; `tracked_task` and `tracked_flow` add Prefect's."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast, overload

from ..errors import SettingsError
from .active import ActiveRun, entered
from .capture import entry_point_of, source_file_of
from .log import log_params as _log_params
from .reuse import watch_cache
from .scope import Scope, closing, open_scope
from .texts import is_storable

__all__ = ["is_tracked", "track", "tracked_flow", "tracked_task"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
_SHORT = 500


@dataclass(frozen=True)
class Tracking:
    """What `@track` was asked for; travels inside the wrapper, so it holds plain values only."""

    experiment: str | None = None
    name: str | None = None
    tags: Mapping[str, str] | None = None
    log_params: bool = True
    declared_environment: bool = False
    system_metrics: bool | None = None


@overload
def track(fn: T, /) -> T: ...
@overload
def track(
    *,
    experiment: str | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    log_params: bool = True,
    system_metrics: bool | None = None,
) -> Callable[[T], T]: ...
def track(
    fn: Any = None,
    /,
    *,
    experiment: str | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    log_params: bool = True,
    system_metrics: bool | None = None,
) -> Any:
    """Track every call of a function, Prefect task or Prefect flow as a run.

    A function stays a function (sync, async, generator, async generator), a `Task` a `Task`, a `Flow` a `Flow`; it may
    stand above or below `@task` and `@flow`.

    Args:
        fn: What to track; left out when options are given.
        experiment: Name of the experiment; that of the run around it, or of the settings, by default.
        name: Name of the runs; the function's own by default.
        tags: Tags of the runs.
        log_params: Whether arguments that are plain values are logged as params.
        system_metrics: As in `start_run`.
    """
    tracking = Tracking(experiment, name, tags, log_params, system_metrics=system_metrics)
    return _track(fn, tracking) if fn is not None else functools.partial(_track, tracking=tracking)


def tracked_task(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    experiment: str | None = None,
    tags: Mapping[str, str] | None = None,
    log_params: bool = True,
    system_metrics: bool | None = None,
    **options: Any,
) -> Any:
    """Make a function a Prefect task that is tracked.

    Args:
        fn: The function; left out when options are given.
        experiment: Name of the experiment.
        tags: Tags of the tracked runs.
        log_params: Whether arguments that are plain values are logged as params.
        system_metrics: As in `start_run`.
        options: Every option of `prefect.task`; its `name` names the runs too.
    """
    from prefect import task

    tracking = Tracking(experiment, options.get("name"), tags, log_params, system_metrics=system_metrics)
    make: Any = task(**options)
    return _made(make, tracking, fn) if fn else functools.partial(_made, make, tracking)


def tracked_flow(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    experiment: str | None = None,
    tags: Mapping[str, str] | None = None,
    log_params: bool = True,
    system_metrics: bool | None = None,
    declared_environment: bool = False,
    **options: Any,
) -> Any:
    """Make a function a Prefect flow that is tracked.

    Args:
        fn: The function; left out when options are given.
        experiment: Name of the experiment.
        tags: Tags of the tracked runs.
        log_params: Whether arguments that are plain values are logged as params.
        system_metrics: As in `start_run`.
        declared_environment: Refuse to run anywhere but in the environment that the function's project declares.
        options: Every option of `prefect.flow`; its `name` names the runs too.

    Raises:
        EnvironmentFailed: When the flow runs in another environment than the declared one.
    """
    from prefect import flow

    tracking = Tracking(experiment, options.get("name"), tags, log_params, declared_environment, system_metrics)
    make: Any = flow(**options)
    return _made(make, tracking, fn) if fn else functools.partial(_made, make, tracking)


def is_tracked(target: Any) -> bool:
    """Whether each call of a function, Prefect task or Prefect flow is a run already."""
    fn = getattr(target, "fn", target)
    while fn is not None:
        if getattr(fn, "__code__", _HERE).co_filename == _HERE.co_filename:
            return True
        fn = getattr(fn, "__wrapped__", None)
    return False


def _made(make: Any, tracking: Tracking, fn: Callable[..., Any]) -> Any:
    made = make(_track(fn, tracking))
    watch_cache(made)
    return made


def _track(target: Any, tracking: Tracking) -> Any:
    if inspect.isfunction(target) or inspect.ismethod(target) or inspect.isbuiltin(target):
        return _wrap(target, tracking)
    inner = getattr(target, "fn", None)
    if not callable(inner):
        raise SettingsError(f"@track takes a function, a Prefect task or a Prefect flow, not {type(target).__name__}.")
    tracked = copy.copy(target)
    tracked.fn = _wrap(inner, tracking)
    watch_cache(tracked)
    return tracked


def _wrap(fn: Callable[..., Any], tracking: Tracking) -> Callable[..., Any]:
    # The wrappers name importable functions only: a process pool or Dask pickles them by value.
    if inspect.isasyncgenfunction(fn):

        @functools.wraps(fn)
        async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            running = run_async_generator(fn, tracking, args, kwargs)
            value = None
            while True:
                try:
                    value = yield await running.asend(value)
                except StopAsyncIteration:
                    return
                except GeneratorExit:
                    await running.aclose()
                    raise

        return async_generator
    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return await run_coroutine(fn, tracking, args, kwargs)

        return coroutine
    if inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            return (yield from run_generator(fn, tracking, args, kwargs))

        return generator

    @functools.wraps(fn)
    def function(*args: Any, **kwargs: Any) -> Any:
        return run_function(fn, tracking, args, kwargs)

    return function


def run_function(fn: Callable[..., R], tracking: Tracking, args: Any, kwargs: Any) -> R:
    """Call `fn` inside a run."""
    run = _begin(fn, tracking)
    with closing(run), entered(run):
        _log_arguments(fn, tracking, args, kwargs, run)
        return fn(*args, **kwargs)


async def run_coroutine(fn: Callable[..., Coroutine[Any, Any, R]], tracking: Tracking, args: Any, kwargs: Any) -> R:
    """Await `fn` inside a run."""
    run = _begin(fn, tracking)
    with closing(run), entered(run):
        _log_arguments(fn, tracking, args, kwargs, run)
        return await fn(*args, **kwargs)


def run_generator(
    fn: Callable[..., Generator[Any, Any, R]], tracking: Tracking, args: Any, kwargs: Any
) -> Generator[Any, Any, R]:
    """Iterate `fn` inside a run, which is current only while its body executes."""
    run = _begin(fn, tracking)
    with closing(run):
        with entered(run):
            _log_arguments(fn, tracking, args, kwargs, run)
            inner = fn(*args, **kwargs)
        resume: Callable[[], Any] = functools.partial(next, inner)
        while True:
            try:
                with entered(run):
                    item = resume()
            except StopIteration as stop:
                return cast("R", stop.value)
            try:
                resume = functools.partial(inner.send, (yield item))
            except GeneratorExit:
                with entered(run):
                    inner.close()
                raise
            except BaseException as error:  # noqa: BLE001 - whatever the consumer throws in is the body's to handle
                resume = functools.partial(inner.throw, error)


async def run_async_generator(
    fn: Callable[..., AsyncGenerator[Any, Any]], tracking: Tracking, args: Any, kwargs: Any
) -> AsyncGenerator[Any, Any]:
    """Iterate the async generator `fn` inside a run, which is current only while its body executes."""
    run = _begin(fn, tracking)
    with closing(run):
        with entered(run):
            _log_arguments(fn, tracking, args, kwargs, run)
            inner = fn(*args, **kwargs)
        value = None
        while True:
            try:
                with entered(run):
                    item = await inner.asend(value)
            except StopAsyncIteration:
                return
            try:
                value = yield item
            except GeneratorExit:
                with entered(run):
                    await inner.aclose()
                raise


def _begin(fn: Callable[..., Any], tracking: Tracking) -> ActiveRun:
    file = source_file_of(fn)
    if tracking.declared_environment:
        from ..environments import require_declared

        require_declared(Path(file or ""))
    name = tracking.name or fn.__name__
    watched = tracking.system_metrics
    return open_scope(
        Scope(name, tracking.experiment, tracking.tags or {}, entry_point_of(fn), file, system_metrics=watched)
    )


def _log_arguments(fn: Callable[..., Any], tracking: Tracking, args: Any, kwargs: Any, run: ActiveRun) -> None:
    if not tracking.log_params:
        return
    try:
        bound = inspect.signature(fn).bind(*args, **kwargs)
    except TypeError:
        return  # the call itself is about to say so
    bound.apply_defaults()
    plain = {name: value for name, value in bound.arguments.items() if name != "self" and _is_plain(value)}
    _log_params(plain, run=run)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (bool, int, float, str, type(None), Path)):
        return is_storable(str(value))
    return isinstance(value, (list, tuple, dict)) and len(repr(cast("Any", value))) <= _SHORT


_HERE = is_tracked.__code__
