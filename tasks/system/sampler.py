"""System metrics of runs: one thread looks at the machine now and then, for all runs of the process."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from ...errors import PrefectMLError

if TYPE_CHECKING:
    from ..active import ActiveRun

__all__ = ["sampler"]

_FIRST_SECONDS = 1.0
_log = logging.getLogger("prefect_ml")


class Sampler:
    """Which runs are watched, and the thread that writes what it sees into them; it ends with the last of them."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._runs: dict[str, ActiveRun] = {}
        self._changed = threading.Condition()
        self._busy = False

    def watch(self, run: ActiveRun) -> None:
        """Write system metrics into the outermost run of the process around `run`, until that ends."""
        while run.outer is not None and not run.outer.forked:
            run = run.outer
        with self._changed:
            self._runs[run.id] = run
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._work, name="prefect-ml-system-metrics", daemon=True).start()

    def forget(self, run: ActiveRun) -> None:
        """Stop: when this returns, nothing more is written into the run."""
        if self._runs:
            with self._changed:
                if self._runs.get(run.id) is run:
                    del self._runs[run.id]
                    self._changed.notify_all()

    def _work(self) -> None:
        try:
            self._sample()
        except Exception:  # noqa: BLE001 - the edge of a thread: a machine that cannot be looked at is no reason to fail
            _log.warning("The system metrics of this process end here", exc_info=True)
            self._reset()

    def _sample(self) -> None:
        from .machine import Machine

        machine = Machine()
        wait = min(_FIRST_SECONDS, self._interval())
        while self._is_wanted(wait):
            self._write(machine.look())
            wait = self._interval()

    def _is_wanted(self, seconds: float) -> bool:
        """Wait that long, or until no run is left; in that case the thread is as good as gone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._runs, seconds)
            self._busy = bool(self._runs)
            return self._busy

    def _interval(self) -> float:
        runs = list(self._runs.values())
        return min((run.store.settings.system_metrics_seconds for run in runs), default=0.0)

    def _write(self, values: dict[str, float]) -> None:
        from ..log import log_metrics

        at = time.time_ns() // 1_000_000
        with self._changed:
            for run in list(self._runs.values()):
                try:
                    log_metrics(values, step=max(at + run.skew - run.opened.opened_at, 0) // 1000, run=run)
                except PrefectMLError as error:
                    _log.warning("The system metrics of run %s end here: %s", run.id, error)
                    del self._runs[run.id]


sampler = Sampler()
