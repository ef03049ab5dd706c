"""Looking, in the process of a trial, whether it is to stop."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager

from ..store import Run, get_run
from .active import ActiveRun, current_run
from .halt import Halt

__all__ = ["TRIAL", "halting", "should_prune"]

TRIAL = "trial"
"""Tag of a run that is a trial: its number in the sweep."""
_SECONDS = 1.0


@contextmanager
def halting(run: ActiveRun) -> Generator[Halt]:
    """Let a trial be stopped from outside during the body."""
    halt = run.halt = Halt(run.id, run.attempt, run.store)
    done = threading.Event()
    threading.Thread(target=_watch, args=(halt, done), name="prefect-ml-halt", daemon=True).start()
    try:
        yield halt
    finally:
        done.set()


def should_prune(*, run: ActiveRun | None = None) -> bool:
    """Whether the trial that this code belongs to should stop, because other trials of its sweep do better.

    Costs next to nothing: the store is looked at once a second, by another thread. Outside a sweep it is False.

    Args:
        run: The run; the current one by default.
    """
    run = run or current_run()
    if run is None:
        return False
    if run.halt is None:
        run.halt = _halt_of(run)
    if run.halt.asked:
        run.halt.admit()
    return run.halt.asked


def _halt_of(run: ActiveRun) -> Halt:
    """Give what tells a run in a child process of a trial's that it is to stop."""
    halt = Halt(run.id, run.attempt, run.store)
    if trial := _trial_around(run):
        halt.run_id, halt.attempt = trial.id, trial.attempt
        threading.Thread(target=_watch_weakly, args=(weakref.ref(halt),), name="prefect-ml-halt", daemon=True).start()
    return halt


def _trial_around(run: ActiveRun) -> Run | None:
    run_id: str | None = run.id
    while run_id:
        found = get_run(run_id, store=run.store)
        if TRIAL in found.tags:
            return found
        run_id = found.parent_id
    return None


def _watch(halt: Halt, done: threading.Event) -> None:
    while not halt.asked and not done.wait(_SECONDS):
        halt.look()


def _watch_weakly(reference: weakref.ref[Halt]) -> None:
    pause = threading.Event()
    while (halt := reference()) and not halt.asked:
        halt.look()
        del halt
        pause.wait(_SECONDS)
