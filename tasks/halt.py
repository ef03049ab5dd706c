"""Stopping a run from outside: a trial of a sweep that does badly is told so through the store.

Whoever decides sets the tag `prune` of the trial's run. In the trial's process a thread looks for it now and then, so
that logging stays as cheap as it is; the next call that logs raises `Pruned`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import Pruned, RunNotFound, StoreError
from ..store import Store, get_run
from ..store.entries import tags_entry
from ..store.writers import writer_for

__all__ = ["ATTEMPT", "PRUNE", "PRUNED", "Halt"]

PRUNE = "prune"
"""Tag that asks a trial to stop; its value is what `ATTEMPT` makes of the attempt that is meant."""
PRUNED = "pruned"
"""Tag that says whether the trial has stopped because of that."""
ATTEMPT = "attempt {}"


@dataclass(eq=False)
class Halt:
    """Whether a trial is to stop; the scopes inside it share one.

    Attributes:
        run_id: Run of the trial.
        attempt: Its attempt.
        asked: Whether somebody has asked it to stop.
        seen: Whether the trial's code knows.
    """

    run_id: str
    attempt: int
    store: Store = field(repr=False)
    asked: bool = False
    seen: bool = False

    def check(self) -> None:
        """Raise once where the trial is to stop; what its code logs while it ends is taken.

        Raises:
            Pruned: It is.
        """
        if self.asked and not self.seen:
            self.admit()
            raise Pruned(self.run_id)

    def admit(self) -> None:
        """Note that the trial's code knows."""
        if not self.seen:
            self.seen = True
            writer_for(self.store).post(tags_entry(self.run_id, {PRUNED: "true"}))

    def look(self) -> None:
        """Look in the store whether the trial is to stop."""
        try:
            self.asked = get_run(self.run_id, store=self.store).tags.get(PRUNE) == ATTEMPT.format(self.attempt)
        except (StoreError, RunNotFound):
            return  # a trial that is not told to stop goes on
