"""The run that code logs into: one context variable, in this place only."""

from __future__ import annotations

import itertools
import os
import threading
from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from ..running import PrefectRun, flow_run, task_run
from ..store import Store
from ..store.runs import OpenRun
from ..store.writer import Series, Writer
from .capture import Capture
from .halt import Halt

__all__ = ["ActiveRun", "current_run", "entered", "entered_run", "implicit_runs", "innermost_prefect_run"]


@dataclass(eq=False)
class ActiveRun:
    """A run that is open in this process.

    Hand it to `log_*` as `run=` where no context reaches, for instance in a raw `threading.Thread`.

    Attributes:
        id: Id of the run.
        name: Its name.
        experiment: Its experiment.
        outer: The scope around it in this process.
        halt: Tells when it is to stop early, or None where nobody would say so.
        ended: The status that its scope has given it, or None while it is open.
    """

    id: str
    name: str
    experiment: str
    outer: ActiveRun | None
    store: Store = field(repr=False)
    opened: OpenRun = field(repr=False)
    writer: Writer = field(repr=False)
    capture: Capture = field(repr=False)
    children: dict[str, Iterator[int]] = field(default_factory=lambda: defaultdict(itertools.count), repr=False)
    series: dict[str, Series] = field(default_factory=dict[str, Series], repr=False)
    params: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    skew: int = field(default=0, repr=False)
    resumed: bool = field(default=False, repr=False)
    process: int = field(default_factory=os.getpid, repr=False)
    halt: Halt | None = field(default=None, repr=False)
    ended: str | None = None

    @property
    def attempt(self) -> int:
        """Number of the attempt that is open."""
        return self.opened.attempt

    @property
    def artifact_uri(self) -> str:
        """Where the artifacts of this attempt lie."""
        return self.opened.artifact_uri

    @property
    def forked(self) -> bool:
        """Whether this process is a forked child of the one that has opened the run here, and will close it."""
        return self.process != os.getpid()

    @property
    def counts_children(self) -> bool:
        """Whether all children come from this scope, so that counting them gives each an id of its own."""
        return not (self.opened.joined or self.resumed or self.forked)

    def encloses(self, run_id: str) -> bool:
        """Whether `run_id` is this run or one of the scopes around it."""
        return self.id == run_id or (self.outer is not None and self.outer.encloses(run_id))


_current: ContextVar[ActiveRun | None] = ContextVar("prefect_ml_current_run", default=None)


def current_run() -> ActiveRun | None:
    """Give the innermost run that is open here, or None."""
    run = _current.get()
    if run is not None:
        return run
    prefect = innermost_prefect_run()
    return implicit_runs.get(prefect.id) if prefect else None


entered_run = _current.get


@contextmanager
def entered(run: ActiveRun) -> Generator[None]:
    """Make `run` the current one for the body."""
    token = _current.set(run)
    try:
        yield
    finally:
        _current.reset(token)


def innermost_prefect_run() -> PrefectRun | None:
    """Give the Prefect run whose body executes here: a task run, unless a subflow was called inside it."""
    task, flow = task_run(), flow_run()
    if task and flow and flow.id != task.flow_run_id:
        return flow
    return task or flow


class _ImplicitRuns:
    """Runs that a bare `log_*` opened for a Prefect run, which Prefect's own end of that run closes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, ActiveRun] = {}

    def get(self, prefect_id: str) -> ActiveRun | None:
        return self._runs.get(prefect_id)

    def put(self, run: ActiveRun) -> None:
        with self._lock:
            self._runs[run.id] = run

    def pop(self, prefect_id: str) -> ActiveRun | None:
        with self._lock:
            return self._runs.pop(prefect_id, None)


implicit_runs = _ImplicitRuns()
