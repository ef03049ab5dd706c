"""The gate between the transactions of all threads and a fork of the process.

A forked child inherits what SQLite, SQLAlchemy and the driver keep in memory, but neither the file locks nor the
threads behind it. So a fork waits a moment until no transaction is open anywhere in the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["ForkGate"]


class ForkGate:
    """Open for transactions, except while the process forks."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._forks = 0

    @contextmanager
    def passed(self) -> Generator[None]:
        """Hold up forks for the body."""
        changed = self._changed  # a forked child has another
        with changed:
            changed.wait_for(lambda: not self._forks, timeout=1)
            self._inside += 1
        try:
            yield
        finally:
            with changed:
                self._inside -= 1
                changed.notify_all()

    def guard(self, *, before: Callable[[], None], in_child: Callable[[], None], patience: float) -> None:
        """Guard every fork of this process from here on.

        Args:
            before: Called before each, with no transaction open unless one took too long.
            in_child: Called in the child.
            patience: How long a fork waits for transactions, in seconds.
        """

        def close() -> None:
            with self._changed:
                self._forks += 1
                self._changed.wait_for(lambda: not self._inside, timeout=patience)
            before()

        def open_again() -> None:
            with self._changed:
                self._forks -= 1
                self._changed.notify_all()

        def begin_anew() -> None:
            self._reset()
            in_child()

        os.register_at_fork(before=close, after_in_parent=open_again, after_in_child=begin_anew)
