"""What this process finds out behind its caller's back: jobs that nobody waits for, in order, in one thread."""

from __future__ import annotations

import atexit
import contextvars
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Background", "background"]

_EXIT_PATIENCE = 5.0
_log = logging.getLogger("prefect_ml")


class Background:
    """A queue with one thread, which ends when there is nothing left to do."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        # Exit handlers run last in, first out: before the writer's, which was imported first.
        atexit.register(self._end)

    def _reset(self) -> None:
        self._jobs: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._finalized = False

    def add(self, job: Callable[[], None]) -> None:
        """Have a job done, in the context of the caller."""
        context = contextvars.copy_context()
        self._drain_with_multiprocessing()
        with self._changed:
            self._jobs.append(lambda: context.run(job))
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._work, name="prefect-ml-background", daemon=True).start()

    def drain(self, patience: float) -> bool:
        """Wait until all jobs are done, at most so many seconds; tell whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, patience)

    def _end(self) -> None:
        if not self.drain(_EXIT_PATIENCE):
            _log.warning("This process ends before all was found out about the code and software of its runs.")

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._jobs:
                    self._busy = False
                    self._changed.notify_all()
                    return
                job = self._jobs.popleft()
            try:
                job()
            except Exception:  # noqa: BLE001 - the edge of a thread: what is found out here is no reason to lose a run
                _log.warning("Something about a run could not be found out", exc_info=True)

    def _drain_with_multiprocessing(self) -> None:
        """Children of multiprocessing leave without the exit handlers of the interpreter, but call its finalizers."""
        if not self._finalized and (util := sys.modules.get("multiprocessing.util")):
            self._finalized = True
            util.Finalize(None, self._end, exitpriority=10)  # that of the writer has 0


background = Background()
