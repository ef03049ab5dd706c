"""Commands as local processes: each in a session of its own, read line by line, ended with all that it has started."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from ..errors import EnvironmentFailed

__all__ = ["LocalCommand"]

_CHUNK = 1 << 16
_LEFT = 32  # chunks that are read after the end: more than a pipe holds, so a process left behind is writing
_LOOK = 0.1


class LocalCommand:
    """A shell command as a process of this machine; see `Command` for what its methods promise."""

    def __init__(self, command: str, *, folder: Path, environ: Mapping[str, str], inherit: Sequence[int] = ()) -> None:
        shell = shutil.which("bash") or "/bin/sh"
        try:
            self._child = subprocess.Popen(
                [shell, "-c", command],
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=inherit,  # a lock stays held until the last process of the command has ended
            )
        except (OSError, ValueError) as error:
            raise EnvironmentFailed(f"The command {command!r} cannot be started in {folder} ({error}).") from error

    @property
    def pid(self) -> int:
        """Process id of its shell, which is the id of its process group too."""
        return self._child.pid

    def lines(self) -> Iterator[str]:
        """Give each line that it prints; ends with the command, whoever else holds its output open."""
        rest = b""
        for chunk in self._chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (_text(line) for line in whole)
        if rest:
            yield _text(rest)

    def wait(self) -> int:
        """Wait for its end and give the exit code; minus the signal's number where one has ended it."""
        return self._child.wait()

    def stop(self, *, grace: float) -> None:
        """Ask the whole tree to end, and kill what is left after `grace` seconds."""
        tree = self._tree()
        _signal(tree, signal.SIGTERM)
        _, alive = psutil.wait_procs(tree, timeout=grace)
        _signal({*alive, *self._tree()}, signal.SIGKILL)
        self._child.wait()

    def _tree(self) -> set[psutil.Process]:
        """Find its processes: those below it, and those of its session whose parent has gone."""
        found: set[psutil.Process] = set()
        with contextlib.suppress(psutil.NoSuchProcess):
            shell = psutil.Process(self._child.pid)
            found |= {shell, *shell.children(recursive=True)}
        for process in psutil.process_iter():
            with contextlib.suppress(OSError, psutil.Error):
                if os.getsid(process.pid) == self._child.pid:
                    found |= {process, *process.children(recursive=True)}
        return found

    def _chunks(self) -> Iterator[bytes]:
        assert self._child.stdout is not None
        left = _LEFT
        with self._child.stdout as pipe, selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while left:
                over = self._child.poll() is not None
                left -= over
                if not selector.select(_LOOK):
                    if over:
                        return
                    continue
                chunk = os.read(pipe.fileno(), _CHUNK)
                if not chunk:
                    return
                yield chunk


def _signal(processes: set[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
