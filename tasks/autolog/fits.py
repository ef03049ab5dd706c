"""The wrapper around `fit`: which calls are trainings of the user's own, and which run each is recorded in."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar
from types import FrameType
from typing import Any

from ...errors import NoActiveRun
from ..active import ActiveRun, entered
from ..scope import Scope, closing, open_scope, require_run
from .libraries import Call, Library, Training
from .recorder import Options, Recorder, going_on

__all__ = ["wrap"]

_fitting: ContextVar[bool] = ContextVar("prefect_ml_autolog_fitting", default=False)
# A fit that any of these calls on another object is a part of their own work, in whatever thread.
_CALLERS = frozenset({"keras", "lightgbm", "lightning", "pytorch_lightning", "sklearn", "xgboost"})
# But these only pass on what the user asked for.
_ENTRANCES = ("keras.src.wrappers.", "lightning.pytorch.cli", "pytorch_lightning.cli")


def wrap(
    original: Callable[..., Any], library: Library, options_of: Callable[[str], Options | None]
) -> Callable[..., Any]:
    """Wrap a library's `fit`, so that the user's own calls are recorded."""

    @functools.wraps(original)
    def fit(*args: Any, **kwargs: Any) -> Any:
        options = options_of(library.NAME)
        caller = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        if options is None or _fitting.get() or _is_inner(caller, args[0] if args else None):
            return original(*args, **kwargs)
        return _recorded(library, Call(original, args, kwargs), options, caller)

    return fit


def _is_inner(frame: FrameType | None, owner: object) -> bool:
    """Whether one of the libraries calls, on behalf of another object than this one: a search, a pipeline, a fold."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] in _CALLERS and not module.startswith(_ENTRANCES):
            names = frame.f_code.co_varnames[:1]
            if not names or frame.f_locals.get(names[0]) is not owner:
                return True
        frame = frame.f_back
    return False


def _recorded(library: Library, call: Call, options: Options, caller: FrameType) -> Any:
    training, session = None, None
    with going_on(f"a training with {library.NAME}"):
        training = library.training(call)
        if training is not None:
            session = _Session(training.name, options, caller)
    if training is None or session is None:
        return call.make()
    token = _fitting.set(True)
    try:
        result = _trained(training, session.recorder, call)
    except BaseException as error:
        session.close(error)
        raise
    finally:
        _fitting.reset(token)
    session.close()
    return result


def _trained(training: Training, recorder: Recorder, call: Call) -> Any:
    try:
        with recorder.going_on("the params and iterations"):
            training.before(recorder)
        result = call.make()
    finally:
        with recorder.going_on("the end of the iterations"):
            training.release()
    with recorder.going_on("the result"):
        training.after(recorder, result)
    return result


class _Session:
    """The run of one training: the open one, or a child of it if that has recorded a training, or one of its own."""

    def __init__(self, name: str, options: Options, caller: FrameType) -> None:
        source = caller.f_globals
        scope = Scope(name, entry_point=source.get("__name__"), file=source.get("__file__"))
        self._stack = ExitStack()
        try:
            run = _open_run() or self._enter(scope)
            if not _claims.take(run):
                run = self._enter(scope)
                _claims.take(run)
        except BaseException as error:
            self.close(error)
            raise
        self.recorder = Recorder(run, name, options)

    def close(self, error: BaseException | None = None) -> None:
        """Close the run, if it was opened for this training."""
        with going_on("the end of a training"):
            self._stack.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

    def _enter(self, scope: Scope) -> ActiveRun:
        run = open_scope(scope)
        self._stack.enter_context(closing(run))
        self._stack.enter_context(entered(run))
        return run


def _open_run() -> ActiveRun | None:
    try:
        return require_run("autolog", None)
    except NoActiveRun:
        return None


class _Claims:
    """The runs, with their attempts, that have recorded a training: each takes the params of one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[tuple[str, int]] = set()

    def take(self, run: ActiveRun) -> bool:
        """Whether the run was free, and is taken now."""
        with self._lock:
            key = (run.id, run.attempt)
            free = key not in self._taken
            self._taken.add(key)
            return free


_claims = _Claims()
