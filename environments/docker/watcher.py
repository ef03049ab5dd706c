"""Who watches over a container: once the process that started it is gone, however it died, the container goes as well.

It is run as a script, `python -P watcher.py`, whose standard input is a pipe that its parent holds: a byte says that
the container is gone already. Until its parent has died it needs nothing of us, so that it starts at once and is small.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time

__all__ = ["Watcher"]

_LOOK = 2.0  # seconds between looks at our parent: a fork of it may hold the pipe open
_PAUSE = 0.1
_AGAIN = 2.0  # seconds until the second removal: a request of our parent's may have been on its way to the daemon


class Watcher:
    """A process that removes the containers of the calling one if that ends without saying `end`."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-P", __file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends a whole group of processes must leave this one
        )

    def end(self) -> None:
        """Stop watching."""
        self._child.communicate(b".")


def main(parent: int) -> None:
    """Wait until the parent says that all is well, or is gone; then remove what it has left."""
    said = None
    while os.getppid() == parent:
        if said == b"":  # the pipe is closed before its process has ended
            time.sleep(_PAUSE)
        elif select.select([0], [], [], _LOOK)[0] and (said := os.read(0, 1)):
            return
    from prefect_ml.environments.docker import remove_leftovers

    remove_leftovers()
    time.sleep(_AGAIN)
    remove_leftovers()


if __name__ == "__main__":
    main(int(sys.argv[1]))
