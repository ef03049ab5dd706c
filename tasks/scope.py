"""Opening and closing runs: which id a scope gets, who its parent is, and what it ends as."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import NoActiveRun, RunClosed, RunNotFound, ServiceError
from ..running import PrefectRun, system_user
from ..settings import load_settings
from ..store import Store, child_id, current_store, get_run, new_id
from ..store.runs import NewRun, OpenRun, close_run, open_run, set_source, write_tags
from ..store.writer import writer_for
from .active import ActiveRun, current_run, entered, implicit_runs, innermost_prefect_run
from .capture import capture_source, entry_point_of, source_file_of

__all__ = ["Scope", "close_scope", "open_scope", "require_run", "start_run", "status_of"]

_log = logging.getLogger("prefect_ml")


@dataclass(frozen=True)
class Scope:
    """What a tracked scope asks for.

    Attributes:
        name: Name of the run.
        experiment: Its experiment; that of the scope around it, or of the settings, where it is None.
        tags: Tags to set at the start.
        entry_point: What is run, for the record.
        file: Source file, whose repository is recorded.
    """

    name: str = "run"
    experiment: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    entry_point: str | None = None
    file: str | None = None


@contextmanager
def start_run(
    *,
    experiment: str | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    store: Store | None = None,
) -> Generator[ActiveRun]:
    """Open a run for the body; inside another run it opens a child.

    In a Prefect task or flow run the outermost scope takes that run's id. Where `PREFECT_ML_RUN_ID` is set, the
    outermost scope joins that run (under Prefect: becomes its child).

    Args:
        experiment: Name of the experiment; made when it is new.
        name: Name of the run.
        tags: Tags to set at once.
        store: Another store than the one that the settings name.

    Raises:
        StoreError: The store cannot be reached.
        RunClosed: `PREFECT_ML_RUN_ID` names a run that has ended.
    """
    caller = sys._getframe(2).f_globals  # pyright: ignore[reportPrivateUsage] - the module that wrote `with start_run()`
    scope = Scope(name or "run", experiment, tags or {}, caller.get("__name__"), caller.get("__file__"))
    run = open_scope(scope, store=store)
    with closing(run), entered(run):
        yield run


def open_scope(scope: Scope, *, store: Store | None = None) -> ActiveRun:
    """Open the run of a scope without making it current."""
    store = current_store(store)
    outer, prefect = current_run(), innermost_prefect_run()
    if prefect and not (outer and outer.encloses(prefect.id)):
        opened, experiment = _of_prefect(store, scope, prefect, outer)
    elif outer:
        opened, experiment = _child(store, scope, outer)
    else:
        opened, experiment = _outermost(store, scope)
    writer = writer_for(store)
    writer.run_opened(opened.id)
    if scope.tags:
        write_tags(store, opened.id, {key: str(value) for key, value in scope.tags.items()})
    capture = capture_source(scope.file, scope.entry_point)
    return ActiveRun(opened.id, scope.name, experiment, outer, store, opened, writer, capture)


def close_scope(run: ActiveRun, status: str, error: str | None = None) -> None:
    """Write what is pending, close the run unless somebody else will, and publish its report in Prefect."""
    run.writer.run_closed(run.id)
    if run.opened.joined:
        return
    set_source(run.store, run.id, run.capture.result())
    close_run(run.store, run.opened, status, error=error)
    if innermost_prefect_run():
        _publish(run)


@contextmanager
def closing(run: ActiveRun) -> Generator[None]:
    """Close the run with the status that the body deserves."""
    try:
        yield
    except BaseException as error:
        close_scope(run, status_of(error), f"{type(error).__name__}: {error}")
        raise
    close_scope(run, "Completed")


def require_run(function: str, run: ActiveRun | None) -> ActiveRun:
    """Give the run to write to: the one given, the current one, or that of the Prefect run around the caller.

    Raises:
        NoActiveRun: There is none.
    """
    found = run or current_run()
    prefect = None if run else innermost_prefect_run()
    if found and not (prefect and found.id == prefect.id and found.attempt < prefect.attempt):
        return found
    if prefect is None:
        raise NoActiveRun(function)
    return _open_implicitly(prefect)


def status_of(error: BaseException) -> str:
    """Give the status of a run whose body was left by `error`."""
    cancelled = (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)
    if isinstance(error, cancelled) or type(error).__name__ in ("TerminationSignal", "CancelledRun"):
        return "Cancelled"
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return "Completed"
    return "Failed"


def _of_prefect(store: Store, scope: Scope, prefect: PrefectRun, outer: ActiveRun | None) -> tuple[OpenRun, str]:
    parent = outer.id if outer else _parent_of(store, prefect)
    experiment = scope.experiment or _inherited(store, outer, parent)
    new = NewRun(
        id=prefect.id,
        name=scope.name,
        experiment=experiment,
        user=system_user(),
        parent_id=parent,
        flow_run_id=prefect.flow_run_id,
        task_run_id=None if prefect.id == prefect.flow_run_id else prefect.id,
    )
    try:
        return open_run(store, new, attempt=prefect.attempt), experiment
    except RunClosed:  # an earlier scope took the id and has ended: this one is its child
        return _first_free_child(store, new, prefect.attempt), experiment


def _first_free_child(store: Store, first: NewRun, attempt: int) -> OpenRun:
    for ordinal in itertools.count():
        new = NewRun(
            id=child_id(first.id, first.name, ordinal),
            name=first.name,
            experiment=first.experiment,
            user=first.user,
            parent_id=first.id,
            flow_run_id=first.flow_run_id,
            task_run_id=first.task_run_id,
        )
        try:
            return open_run(store, new, attempt=attempt)
        except RunClosed:
            continue
    raise AssertionError("unreachable")


def _child(store: Store, scope: Scope, outer: ActiveRun) -> tuple[OpenRun, str]:
    ordinal = outer.children[scope.name]
    outer.children[scope.name] += 1
    experiment = scope.experiment or outer.experiment
    prefect = innermost_prefect_run()
    new = NewRun(
        id=child_id(outer.id, scope.name, ordinal),
        name=scope.name,
        experiment=experiment,
        user=system_user(),
        parent_id=outer.id,
        flow_run_id=prefect.flow_run_id if prefect else None,
    )
    return open_run(store, new, attempt=outer.attempt), experiment


def _outermost(store: Store, scope: Scope) -> tuple[OpenRun, str]:
    settings = load_settings()
    experiment = scope.experiment or settings.experiment
    new = NewRun(settings.run_id or new_id(), scope.name, experiment, system_user())
    opened = open_run(store, new, join_only=settings.run_id is not None)
    return opened, get_run(opened.id, store=store).experiment if opened.joined else experiment


def _parent_of(store: Store, prefect: PrefectRun) -> str | None:
    candidates = [prefect.flow_run_id if prefect.flow_run_id != prefect.id else None, load_settings().run_id]
    return next((run_id for run_id in candidates if run_id and _exists(store, run_id)), None)


def _inherited(store: Store, outer: ActiveRun | None, parent: str | None) -> str:
    if outer:
        return outer.experiment
    return get_run(parent, store=store).experiment if parent else load_settings().experiment


def _exists(store: Store, run_id: str) -> bool:
    try:
        get_run(run_id, store=store)
    except RunNotFound:
        return False
    return True


def _open_implicitly(prefect: PrefectRun) -> ActiveRun:
    if before := implicit_runs.pop(prefect.id):  # Prefect has begun another attempt
        before.writer.run_closed(before.id)
        close_run(before.store, before.opened, "Failed")
    owner = getattr(prefect.context, "task", None) or prefect.context.flow
    run = open_scope(Scope(prefect.name, entry_point=entry_point_of(owner.fn), file=source_file_of(owner.fn)))
    implicit_runs.put(run)
    _close_with_prefect(owner)
    return run


def _close_with_prefect(owner: Any) -> None:
    for name in ("on_completion_hooks", "on_failure_hooks", "on_cancellation_hooks", "on_crashed_hooks"):
        hooks: list[Any] = getattr(owner, name, [])
        if close_implicit_run not in hooks:  # the task outlives this run of it
            hooks.append(close_implicit_run)


def close_implicit_run(_: object, prefect_run: Any, state: object) -> None:
    """Prefect's hook: close the run that a bare `log_*` opened for this task run or flow run."""
    if run := implicit_runs.pop(str(prefect_run.id)):
        close_scope(run, _status_of_state(state), getattr(state, "message", None))


def _status_of_state(state: object) -> str:
    kind = str(getattr(getattr(state, "type", None), "value", "COMPLETED")).capitalize()
    return kind if kind in ("Completed", "Failed", "Crashed", "Cancelled") else "Cancelled"


def _publish(run: ActiveRun) -> None:
    from ..reports import publish_run_report

    try:
        publish_run_report(run.id, store=run.store)
    except ServiceError as error:  # a report is no reason to lose a training
        _log.warning("The report of run %s was not published: %s", run.id, error)
