"""Carrying the current run to where contexts do not reach: raw threads, thread pools and process pools."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from ..settings import Settings
from ..store import Store, open_store
from .active import ActiveRun, entered
from .scope import require_run, start_run

__all__ = ["with_current_run"]

P = ParamSpec("P")
R = TypeVar("R")


def with_current_run(fn: Callable[P, R]) -> Callable[P, R]:
    """Give `fn` so that it logs into the run that is current now, wherever it is called.

    For targets of `threading.Thread`, for `submit` and `map` of executors, and for processes: there each call joins
    the run by its id, and what it has logged is in the store when it returns. `fn` itself must then be picklable.

    Args:
        fn: A plain function. Coroutines need no help: tasks of asyncio inherit the run.

    Raises:
        NoActiveRun: No run is open.
    """
    return _Carrying(fn, require_run("with_current_run", None))


class _Carrying(Generic[P, R]):
    """Calls a function inside a run that is open in this process."""

    def __init__(self, fn: Callable[P, R], run: ActiveRun) -> None:
        functools.update_wrapper(self, fn)
        self._fn = fn
        self._run = run

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        with entered(self._run):
            return self._fn(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Joining, (self._fn, self._run.id, self._run.store.settings)


class _Joining(Generic[P, R]):
    """Calls a function inside a run that another process has open."""

    def __init__(self, fn: Callable[P, R], run_id: str, settings: Settings) -> None:
        functools.update_wrapper(self, fn)
        self._fn = fn
        self._run_id = run_id
        self._settings = settings

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        store: Store = open_store(self._settings)
        with start_run(run_id=self._run_id, store=store) as run:
            try:
                return self._fn(*args, **kwargs)
            finally:
                run.writer.settle()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Joining, (self._fn, self._run_id, self._settings)
