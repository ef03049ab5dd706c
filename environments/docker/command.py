"""A command that is a container: read, waited for, ended and removed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from .client import connected, translated
from .leftovers import removed
from .watcher import Watcher

__all__ = ["ContainerCommand"]

_READING = 10.0  # seconds that a reader has for what is left of the output, once the container is to go
_KILL = ["/bin/sh", "-c", 'kill -TERM "$@"', "sh"]


class ContainerCommand:
    """A running container; see `Command` for what its methods promise. It is removed when its end is known."""

    def __init__(self, client: Any, container: Any, watcher: Watcher, *, user: str) -> None:
        self._client = client
        self._container = container
        self._watcher = watcher
        self._user = user
        self._code: int | None = None
        self._ending = threading.Lock()
        self._reader: int | None = None
        self._read = threading.Event()

    @property
    def container_id(self) -> str:
        """Id of the container."""
        return str(self._container.id)

    def lines(self) -> Iterator[str]:
        """Give each line that it prints, from the first on; read them before `wait`, which removes the container."""
        from docker.errors import NotFound

        self._reader = threading.get_ident()
        rest = b""
        try:
            # Whoever has stopped it in another thread may have removed it before the first line was asked for.
            with translated("The output of the container cannot be read to its end"), contextlib.suppress(NotFound):
                for chunk in self._container.logs(stream=True, follow=True, stdout=True, stderr=True):
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from (_text(line) for line in whole)
            if rest:
                yield _text(rest)
        finally:
            self._read.set()

    def wait(self) -> int:
        """Wait for its end and give the exit code; minus the signal's number where one has ended it."""
        with self._ending:
            if self._code is None:
                with translated("The container's end cannot be waited for"):
                    code = self._container.wait(timeout=None)["StatusCode"]
                    self._let_others_read()
                    removed(self._container)
                    self._watcher.end()
                    self._client.close()
                self._code = _exit_code(code)
        return self._code

    def stop(self, *, grace: float) -> None:
        """Ask every process of the container to end, kill what is left after `grace` seconds, and remove it."""
        if self._code is not None:
            return
        # Whoever reads or waits in another thread holds the other client's connection.
        with connected(f"The container {self._container.name} cannot be stopped") as client:
            from docker.errors import APIError, NotFound

            with contextlib.suppress(NotFound):
                container = client.containers.get(self.container_id)
                with contextlib.suppress(APIError):  # it has ended meanwhile
                    _ask(container, self._user)
                if not _has_ended(container, within=grace):
                    with contextlib.suppress(APIError):
                        container.kill()
        self.wait()

    def _let_others_read(self) -> None:
        if self._reader not in (None, threading.get_ident()):
            self._read.wait(_READING)


def _ask(container: Any, user: str) -> None:
    """Send SIGTERM to all processes; those that a shell waits for would never hear of it otherwise."""
    top = container.top()
    column = top["Titles"].index("PID")
    pids = [process[column] for process in top["Processes"]]
    container.exec_run([*_KILL, *pids], user=user, detach=True)  # its answer may never come: it ends what it runs in


def _has_ended(container: Any, *, within: float) -> bool:
    import requests

    try:
        container.wait(timeout=max(within, 0.1))
    except requests.RequestException:
        return False
    return True


def _exit_code(code: int) -> int:
    """Docker says 128 and the number, as a shell would, for a process that a signal has ended."""
    return 128 - code if code - 128 in set(signal.Signals) else code


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
