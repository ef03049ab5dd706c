"""One trial, in whatever process it runs: plain values go in, and what becomes of it is in the store."""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

from ...errors import ProjectRunFailed, RunNotFound
from ...processes import Owner, is_alive, this_process
from ...settings import load_settings
from ...store import Run, Store, get_run, open_store, search_runs
from ...store.entries import tags_entry
from ...tasks.active import ActiveRun, entered
from ...tasks.halt import PRUNED, Halt
from ...tasks.log import log_metric, log_params
from ...tasks.pruning import TRIAL, halting
from ...tasks.scope import Planned, Scope, close_scope, closing, open_scope
from .plan import trial_id
from .target import SentTarget, Target

__all__ = ["Job", "is_lost", "objective_run", "process_tag", "run_trial", "store_settings"]

_PROCESS = "process"
_FROM = "objective_run"  # tag of a trial that has its objective from a run inside it
_log = logging.getLogger("prefect_ml")


@dataclass(frozen=True)
class Job:
    """One trial to run.

    Attributes:
        sweep_id: Run of the sweep.
        sweep_attempt: Its attempt.
        number: Which trial of it this is.
        params: What to try.
        objective: Name of the metric that counts.
        can_stop: Whether the trial may be told to stop early.
        experiment: Experiment of the sweep.
        store: Settings of the store, as `load_settings` takes them. They may carry a password.
    """

    sweep_id: str
    sweep_attempt: int
    number: int
    params: Mapping[str, Any]
    objective: str
    can_stop: bool
    experiment: str
    store: Mapping[str, str] = field(repr=False)


def store_settings(store: Store) -> dict[str, str]:
    """Give what another process needs to know of a store; what belongs to this machine it finds for itself."""
    settings = store.settings
    found = {"store_url": settings.store_url, "artifact_root": settings.artifact_root}
    return {**found, **({"storage_options": settings.storage_options} if settings.storage_options else {})}


def run_trial(job: Job, sent: SentTarget) -> str | None:
    """Run a trial, unless it has been run; give what it failed with, or None.

    Whoever distributes work may do so twice: Dask computes again what a worker had finished before it died.

    Args:
        job: The trial.
        sent: What to run.
    """
    store = open_store(load_settings(**cast("dict[str, Any]", job.store)))
    attempt = _attempt(store, job)
    if attempt is None:
        return None
    what = sent.target
    planned = Planned(trial_id(job.sweep_id, job.number), attempt, job.sweep_id, job.sweep_attempt)
    scope = Scope(f"trial-{job.number}", job.experiment, {}, what.entry_point, what.file, planned=planned)
    run = open_scope(scope, store=store)
    if run.opened.joined:  # another process was quicker
        close_scope(run, "Completed")
        return None
    try:
        with closing(run), entered(run):
            _run(job, what, run)
    except Exception as error:  # noqa: BLE001 - a process edge: trials may fail, and the run says why
        _log.warning("Trial %s failed: %s", job.number, error, exc_info=error)
        return f"{type(error).__name__}: {error}"
    return None


def is_lost(run: Run) -> bool:
    """Whether a trial has ended without a result: crashed, cancelled, or its process is no more."""
    if run.status in ("Crashed", "Cancelled"):
        return True
    host, _, rest = run.tags.get(_PROCESS, "").partition(" ")
    if run.status != "Running" or host != socket.gethostname():
        return False
    pid, started, boot = rest.split(" ", 2)
    return not is_alive(Owner(int(pid), started, boot))


def objective_run(run: Run, objective: str, store: Store) -> Run | None:
    """Give the run that has logged the objective: the trial's, or else the nearest inside it, of these the newest."""
    if run.tags.get(_FROM):
        return get_run(run.tags[_FROM], store=store)
    around = [run]
    while around:
        if found := next((one for one in around if objective in one.metrics), None):
            return found
        ids = ", ".join(f"'{one.id}'" for one in around)
        around = list(search_runs(f"parent_id in ({ids})", limit=1000, store=store))
    return None


def _attempt(store: Store, job: Job) -> int | None:
    """Give the number of the attempt to make, or None where the trial has a result."""
    try:
        run = get_run(trial_id(job.sweep_id, job.number), store=store)
    except RunNotFound:
        return 1
    return None if run.status in ("Completed", "Failed") else run.attempt + 1


def _run(job: Job, target: Target, run: ActiveRun) -> None:
    tags = {
        TRIAL: str(job.number),
        _PROCESS: process_tag(),
        **({PRUNED: "false", _FROM: ""} if run.attempt > 1 else {}),
    }
    run.writer.submit(tags_entry(run.id, tags))
    log_params(job.params, run=run)
    with ExitStack() as stack:
        halt = stack.enter_context(halting(run)) if job.can_stop else None
        try:
            returned = target.call(job.params)
        except Exception:
            if _was_stopped(halt):
                return
            raise
    if not _was_stopped(halt):
        _conclude(job, run, returned)


def _was_stopped(halt: Halt | None) -> bool:
    """Whether the trial was told to stop and knows it, in this process or in a child of it."""
    return halt is not None and (halt.seen or get_run(halt.run_id, store=halt.store).tags.get(PRUNED) == "true")


def _conclude(job: Job, run: ActiveRun, returned: Any) -> None:
    """See to it that the trial's own run has the objective."""
    known = get_run(run.id, store=run.store)
    value = known.metrics.get(job.objective)
    if value is None:
        inner = objective_run(known, job.objective, run.store)
        value = inner.metrics[job.objective] if inner else _number(returned)
        if value is None:
            raise ProjectRunFailed(
                f"Trial {job.number} has no objective: log the metric {job.objective!r}, or return a number."
            )
        log_metric(job.objective, value, run=run)
        if inner:
            run.writer.post(tags_entry(run.id, {_FROM: inner.id}))
    if math.isnan(value):
        raise ProjectRunFailed(f"The objective {job.objective!r} of trial {job.number} is no number (NaN).")


def _number(returned: Any) -> float | None:
    if isinstance(returned, (str, bytes, bool)) or returned is None:
        return None
    try:
        return float(returned)
    except (TypeError, ValueError):
        return None


def process_tag() -> str:
    """Say which process this is, so that another can tell whether it lives."""
    owner = this_process()
    return f"{socket.gethostname()} {owner.pid} {owner.started} {owner.boot}"
