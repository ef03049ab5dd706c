"""What a sweep runs: a function, a Prefect flow, or an entry point of a project."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import PicklingError
from typing import Any, cast

import cloudpickle

from ...errors import ProjectError
from ...tasks.active import current_run
from ...tasks.capture import entry_point_of, source_file_of
from ...tasks.track import track
from .space import Space, sample

__all__ = ["FunctionTarget", "ProjectTarget", "SentTarget", "Target", "target_of"]


@dataclass(frozen=True)
class FunctionTarget:
    """A function, or a Prefect flow.

    The run of a function's call is the trial's. A flow run has a run of its own below it, if it is tracked.
    """

    fn: Callable[..., Any]
    name: str
    entry_point: str | None = None
    file: str | None = None
    experiment: str | None = None
    is_flow: bool = False
    version: None = None

    def call(self, params: Mapping[str, Any]) -> Any:
        """Call it."""
        result = self.fn(**params)
        return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result

    def checked(self, space: Space) -> FunctionTarget:
        """Refuse parameters that it does not take, or that it lacks.

        Raises:
            ProjectError: It cannot be called so.
        """
        _check_call(self.name, getattr(self.fn, "fn", self.fn) if self.is_flow else self.fn, list(space))
        return self


@dataclass(frozen=True)
class ProjectTarget:
    """An entry point of a project, in the environment that the project declares."""

    uri: str
    entry_point: str
    environment: str | None = None
    version: str | None = None
    experiment: None = None
    file: None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return f"{Path(self.uri.partition('#')[0].rstrip('/')).name}:{self.entry_point}"

    def call(self, params: Mapping[str, Any]) -> Any:
        """Run it; give what a flow has returned.

        It is stopped when its trial is, as soon as it prints something; its code may ask `should_prune` itself.
        """
        from ..projects import run_project
        from ..projects.running import to_stderr

        run = current_run()
        halt = run.halt if run else None

        def report(line: str) -> None:
            to_stderr(line)
            if halt:
                halt.check()

        ran = run_project(
            self.uri,
            entry_point=self.entry_point,
            params=dict(params),
            version=self.version,
            environment=self.environment,
            report=report if halt else None,
        )
        return ran.result

    def checked(self, space: Space) -> ProjectTarget:
        """Take the commit that is there now for all trials, and refuse parameters that the entry point does not take.

        Raises:
            ProjectError: There is no such project, or it cannot be run so.
        """
        from ..projects.parameters import check_params
        from ..projects.ready import Asked, prepare
        from ..projects.running import to_stderr

        ready = prepare(Asked(self.uri, self.entry_point, self.version, self.environment), to_stderr)
        if not ready.point.flow:
            check_params(ready.point, {name: sample(one) for name, one in space.items()}, folder=ready.project.folder)
        return self if ready.fetched.in_place else replace(self, version=ready.fetched.commit)


Target = FunctionTarget | ProjectTarget


class SentTarget:
    """A target on its way to where trials run: threads get the target itself, other processes a copy."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def __repr__(self) -> str:
        return f"<{self.target.name}>"

    def __reduce__(self) -> Any:
        return (_received, (self.pickled(),))

    def pickled(self) -> bytes:
        """Give the bytes of the target, whose function may be one that no module holds.

        Raises:
            ProjectError: Something in it cannot leave this process.
        """
        try:
            return cast("Any", cloudpickle).dumps(self.target)
        except (TypeError, AttributeError, ValueError, RecursionError, PicklingError) as error:
            raise ProjectError(
                f"{self.target.name!r} cannot be sent to other processes ({error}); use task_runner='threads'."
            ) from error


def _received(pickled: bytes) -> SentTarget:
    return SentTarget(cloudpickle.loads(pickled))


def target_of(given: Any, entry_point: str, environment: str | None, version: str | None) -> Target:
    """Make out what is to be swept.

    Raises:
        ProjectError: It is nothing that can be.
    """
    if isinstance(given, (str, Path)):
        local = Path(given).expanduser()
        uri = str(local.absolute()) if local.is_dir() else str(given)
        return ProjectTarget(uri, entry_point, environment, version)
    fn = getattr(given, "fn", given)
    if version is not None:
        raise ProjectError("Only projects have versions; leave the version out.")
    if fn is not given and hasattr(given, "flow_run_name"):
        return FunctionTarget(given, given.name, entry_point_of(fn), source_file_of(fn), is_flow=True)
    if not callable(fn):
        raise ProjectError(f"A sweep runs a function, a flow or a project, not {type(given).__name__}.")
    return _function(fn)


def _function(given: Any) -> FunctionTarget:
    """Take what `@track` has wrapped, whose run is the trial's."""
    fn: Any = given
    experiment = None
    if getattr(given, "__globals__", None) is track.__globals__:
        fn = given.__wrapped__
        experiment = inspect.getclosurevars(given).nonlocals["tracking"].experiment
    plain: Any = getattr(fn, "func", fn)  # of a functools.partial
    plain = plain if inspect.isroutine(plain) else type(plain).__call__
    return FunctionTarget(fn, plain.__name__, entry_point_of(plain), source_file_of(plain), experiment)


def _check_call(name: str, fn: Callable[..., Any], names: list[str]) -> None:
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # a builtin that does not tell
        return
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as error:
        raise ProjectError(f"{name!r} cannot be called with the parameters of the space: {error}.") from error


async def _awaited(result: Any) -> Any:
    return await result
