"""Opening and closing runs: which id a scope gets, who its parent is, and what it ends as."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import NoActiveRun, RunClosed, RunNotFound, ServiceError, SettingsError
from ..running import PrefectRun, system_user
from ..settings import load_settings
from ..store import Store, child_id, current_store, get_run, new_id
from ..store.entries import close_entry, tags_entry
from ..store.names import normal_name
from ..store.runs import NewRun, OpenRun, open_run, resume_run
from ..store.writers import writer_for
from .active import ActiveRun, current_run, entered, entered_run, implicit_runs, innermost_prefect_run
from .capture import Capture, Given, capture_source, entry_point_of, notebook_of, source_file_of
from .outcome import status_of, words_of
from .reuse import note_result
from .system import sampler
from .texts import checked_text, checked_texts

__all__ = ["Planned", "Scope", "close_scope", "open_scope", "require_run", "start_run"]

_log = logging.getLogger("prefect_ml")


@dataclass(frozen=True)
class Planned:
    """The place of a run that somebody has decided beforehand, as a sweep does for its trials.

    Attributes:
        id: Id of the run.
        attempt: Which attempt of it to open.
        parent_id: The run that it is a child of.
        parent_attempt: The attempt of that run.
    """

    id: str
    attempt: int
    parent_id: str
    parent_attempt: int


@dataclass(frozen=True)
class Scope:
    """What a tracked scope asks for.

    Attributes:
        name: Name of the run.
        experiment: Its experiment; that of the scope around it, or of the settings, where it is None.
        tags: Tags to set at the start.
        entry_point: What is run, for the record.
        file: Source file, whose repository is recorded.
        run_id: A run that exists, to join instead of opening one.
        resume: Open that run once more where it has ended.
        system_metrics: Whether its process is watched; by default as the settings say.
        given: What is known of the code that will run, where that is not ours.
        planned: Where the run belongs, if that is decided.
    """

    name: str = "run"
    experiment: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    entry_point: str | None = None
    file: str | None = None
    run_id: str | None = None
    resume: bool = False
    system_metrics: bool | None = None
    given: Given | None = None
    planned: Planned | None = None


@contextmanager
def start_run(
    *,
    experiment: str | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
    resume: bool = False,
    system_metrics: bool | None = None,
    store: Store | None = None,
) -> Generator[ActiveRun]:
    """Open a run for the body; inside another run it opens a child.

    In a Prefect task or flow run the outermost scope takes that run's id. Where `PREFECT_ML_RUN_ID` is set, the
    outermost scope joins that run (under Prefect: becomes its child).

    Args:
        experiment: Name of the experiment; made when it is new.
        name: Name of the run.
        tags: Tags to set at once.
        run_id: Join this run, which another scope or process has opened, instead of opening one.
        resume: Open the run `run_id` once more if it has ended: it takes writes again, within its last attempt.
        system_metrics: Record what processor, memory, disk, network and GPU do, into the outermost run of the process;
            by default as the settings say.
        store: Another store than the one that the settings name.

    Raises:
        StoreError: The store cannot be reached.
        RunNotFound: There is no run `run_id`.
        RunClosed: The run to join has ended, and `resume` was not asked for.
        SettingsError: `resume` without `run_id`.
    """
    caller = sys._getframe(2).f_globals  # pyright: ignore[reportPrivateUsage] - the module that wrote `with start_run()`
    notebook = None if "__file__" in caller else notebook_of(caller)
    entry_point = os.path.basename(notebook) if notebook else caller.get("__name__")
    file = notebook or caller.get("__file__")
    scope = Scope(name or "run", experiment, tags or {}, entry_point, file, run_id, resume, system_metrics)
    run = open_scope(scope, store=store)
    with closing(run), entered(run):
        yield run


def open_scope(scope: Scope, *, store: Store | None = None) -> ActiveRun:
    """Open the run of a scope without making it current."""
    if scope.resume and not scope.run_id:
        raise SettingsError("resume=True needs run_id=, the id of the run to go on with.")
    if type(scope.experiment) is str:  # what is none is refused where the experiment is looked for
        scope = replace(scope, experiment=normal_name(scope.experiment))
    store = current_store(store)
    outer, prefect = current_run(), innermost_prefect_run()
    writer_for(store)  # what a process that died has logged goes before: it may have ended the run to open
    capture = capture_source(scope.file, scope.entry_point, store, scope.given)
    asked = _Asked(store, scope, outer, capture)
    if scope.planned:
        opened, experiment = _planned(asked, scope.planned)
    elif scope.run_id:
        opened, experiment = _named(asked, scope.run_id)
    elif prefect and not (outer and outer.encloses(prefect.id)):
        opened, experiment = _of_prefect(asked, prefect)
    elif outer:
        opened, experiment = _child(asked, outer)
    else:
        opened, experiment = _outermost(asked)
    return _started(asked, opened, experiment)


def _started(asked: _Asked, opened: OpenRun, experiment: str) -> ActiveRun:
    writer = writer_for(asked.store)
    writer.run_opened(opened.id)
    skew = opened.opened_at - time.time_ns() // 1_000_000
    run = ActiveRun(
        opened.id,
        asked.scope.name,
        experiment,
        asked.outer,
        asked.store,
        opened,
        writer,
        asked.capture,
        skew=skew,
        resumed=asked.scope.resume,
        halt=asked.outer.halt if asked.outer else None,
    )
    if opened.joined:
        if asked.tags:
            writer.submit(tags_entry(run.id, asked.tags))
    else:
        asked.capture.begin(opened, writer)
    if _is_watched(asked, run):
        sampler.watch(run)
    return run


def _is_watched(asked: _Asked, run: ActiveRun) -> bool:
    """Whether system metrics are wanted; a run that others have opened is theirs to watch, unless told otherwise."""
    if asked.scope.system_metrics is None:
        return asked.store.settings.system_metrics and run.outer is None and not run.opened.joined
    return asked.scope.system_metrics


def close_scope(run: ActiveRun, status: str, error: str | None = None) -> None:
    """Write what is pending, close the run unless somebody else will, and publish its report in Prefect."""
    if run.forked:
        return
    run.ended = status
    sampler.forget(run)
    if run.opened.joined:
        run.writer.run_closed(run.id)
        return
    in_prefect = innermost_prefect_run()
    if in_prefect and in_prefect.id == run.id and status == "Completed":
        note_result(run, in_prefect)
    run.capture.wait_for_upload()
    ended_at = time.time_ns() // 1_000_000 + run.skew
    run.writer.run_closed(run.id, close_entry(run.id, run.attempt, status, at=ended_at, error=error))
    if in_prefect:
        _publish(run)


@contextmanager
def closing(run: ActiveRun) -> Generator[None]:
    """Close the run with the status that the body deserves."""
    try:
        yield
    except BaseException as error:
        close_scope(run, status_of(error), words_of(error))
        raise
    close_scope(run, "Completed")


def require_run(function: str, run: ActiveRun | None) -> ActiveRun:
    """Give the run to write to: the one given, the current one, that of the Prefect run around, or the one named.

    `PREFECT_ML_RUN_ID` names one to the processes that a run has started.

    Raises:
        NoActiveRun: There is none.
        RunClosed: It has ended.
    """
    found = run or entered_run()
    if found is not None:
        if found.ended:
            raise RunClosed(found.id, found.ended)
        if found.halt is not None:
            found.halt.check()
        return found
    prefect = innermost_prefect_run()
    if prefect is None:
        return _told_of(function)
    found = implicit_runs.get(prefect.id)
    return found if found and found.attempt >= prefect.attempt else _open_implicitly(prefect)


@dataclass(frozen=True)
class _Asked:
    """What is known when a scope opens."""

    store: Store
    scope: Scope
    outer: ActiveRun | None
    capture: Capture

    @property
    def tags(self) -> dict[str, str]:
        return checked_texts(self.scope.tags)

    def run(self, run_id: str, experiment: str, **known: Any) -> NewRun:
        found = {"source": self.capture.source, "environment": self.capture.environment, "tags": self.tags}
        name = checked_text("name of the run", self.scope.name)
        return NewRun(run_id, name, experiment, system_user(), **found, **known)


def _planned(asked: _Asked, planned: Planned) -> tuple[OpenRun, str]:
    prefect = innermost_prefect_run()
    experiment = asked.scope.experiment or get_run(planned.parent_id, store=asked.store).experiment
    new = asked.run(
        planned.id,
        experiment,
        parent_id=planned.parent_id,
        parent_attempt=planned.parent_attempt,
        flow_run_id=prefect.flow_run_id if prefect else None,
        task_run_id=prefect.id if prefect and prefect.id != prefect.flow_run_id else None,
    )
    return open_run(asked.store, new, attempt=planned.attempt), experiment


def _named(asked: _Asked, run_id: str) -> tuple[OpenRun, str]:
    if asked.scope.resume:
        opened = resume_run(asked.store, run_id)
    else:
        opened = open_run(asked.store, asked.run(run_id, ""), join_only=True)
    return opened, get_run(run_id, store=asked.store).experiment


def _of_prefect(asked: _Asked, prefect: PrefectRun) -> tuple[OpenRun, str]:
    parent_id, parent_attempt = _parent_of(asked, prefect)
    experiment = asked.scope.experiment or _inherited(asked, parent_id)
    new = asked.run(
        prefect.id,
        experiment,
        parent_id=parent_id,
        parent_attempt=parent_attempt,
        flow_run_id=prefect.flow_run_id,
        task_run_id=None if prefect.id == prefect.flow_run_id else prefect.id,
    )
    try:
        opened = open_run(asked.store, new, attempt=prefect.attempt)
    except RunClosed:  # an earlier scope took the id and has ended: this one is its child
        return _first_free_child(asked.store, new, prefect.attempt), experiment
    if opened.joined and writer_for(asked.store).has_open(opened.id):  # a scope beside this one has taken the id
        return _first_free_child(asked.store, new, prefect.attempt), experiment
    # Prefect executes a run once at a time: a process that had this one open before us has died.
    return replace(opened, joined=False), experiment


def _first_free_child(store: Store, first: NewRun, attempt: int) -> OpenRun:
    for ordinal in itertools.count():
        run_id = child_id(first.id, first.name, ordinal)
        new = replace(first, id=run_id, parent_id=first.id, parent_attempt=attempt)
        try:
            opened = open_run(store, new, attempt=attempt)
        except RunClosed:
            continue
        if not opened.joined:
            return opened
    raise AssertionError("unreachable")


def _child(asked: _Asked, outer: ActiveRun) -> tuple[OpenRun, str]:
    name = asked.scope.name
    experiment = asked.scope.experiment or outer.experiment
    prefect = innermost_prefect_run()
    new = asked.run(
        child_id(outer.id, name, next(outer.children[name])) if outer.counts_children else new_id(),
        experiment,
        parent_id=outer.id,
        parent_attempt=outer.attempt,
        flow_run_id=prefect.flow_run_id if prefect else None,
    )
    return open_run(asked.store, new, attempt=outer.attempt), experiment


def _outermost(asked: _Asked) -> tuple[OpenRun, str]:
    settings = load_settings()
    experiment = asked.scope.experiment or settings.experiment
    new = asked.run(settings.run_id or new_id(), experiment, fresh=settings.run_id is None)
    opened = open_run(asked.store, new, join_only=settings.run_id is not None)
    return opened, get_run(opened.id, store=asked.store).experiment if opened.joined else experiment


def _parent_of(asked: _Asked, prefect: PrefectRun) -> tuple[str | None, int | None]:
    if asked.outer:
        return asked.outer.id, asked.outer.attempt
    candidates = [prefect.flow_run_id if prefect.flow_run_id != prefect.id else None, load_settings().run_id]
    for run_id in candidates:
        if run_id and (attempt := _attempt_of(asked.store, run_id)):
            return run_id, attempt
    return None, None


def _inherited(asked: _Asked, parent: str | None) -> str:
    if asked.outer:
        return asked.outer.experiment
    return get_run(parent, store=asked.store).experiment if parent else load_settings().experiment


def _attempt_of(store: Store, run_id: str) -> int | None:
    try:
        return get_run(run_id, store=store).attempt
    except RunNotFound:
        return None


def _told_of(function: str) -> ActiveRun:
    """Join the run that `PREFECT_ML_RUN_ID` names, whose opener closes it."""
    run_id = os.environ.get("PREFECT_ML_RUN_ID")
    if not run_id:
        raise NoActiveRun(function)
    found = implicit_runs.get(run_id)
    if found is None or found.forked:
        found = open_scope(Scope(entry_point="__main__"))
        implicit_runs.put(found)
    return found


def _open_implicitly(prefect: PrefectRun) -> ActiveRun:
    if before := implicit_runs.pop(prefect.id):  # Prefect has begun another attempt
        ended_at = time.time_ns() // 1_000_000 + before.skew
        before.writer.run_closed(before.id, close_entry(before.id, before.attempt, "Failed", at=ended_at, error=None))
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

    run.capture.wait()  # the report tells what was found out
    try:
        publish_run_report(run.id, store=run.store)
    except ServiceError as error:  # a report is no reason to lose a training
        _log.warning("The report of run %s was not published: %s", run.id, error)
