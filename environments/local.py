"""Commands as local processes: each under a supervisor of its own, read line by line, ended with all it has started."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import EnvironmentFailed
from . import supervisor

__all__ = ["LocalCommand"]

_CHUNK = 1 << 16
_LEFT = 32  # chunks that are read after the end: more than a pipe holds, so a process left behind is writing
_LOOK = 0.1
_LONGEST = 1 << 20  # bytes of a line that are given at once


class LocalCommand:
    """A shell command as a process of this machine; see `Command` for what its methods promise."""

    def __init__(self, command: str, *, folder: Path, environ: Mapping[str, str], inherit: Sequence[int] = ()) -> None:
        shell = shutil.which("bash") or "/bin/sh"
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", supervisor.__file__, shell, "-c", command],
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=inherit,  # a lock stays held until the last process of the command has ended
            )
        except (OSError, ValueError) as error:
            raise EnvironmentFailed(f"The command {command!r} cannot be started in {folder} ({error}).") from error

    def lines(self) -> Iterator[str]:
        """Give each line that it prints; ends with the command, whoever else holds its output open."""
        rest = bytearray()
        for chunk in self._chunks():
            *whole, last = chunk.split(b"\n")
            for line in whole:
                yield _text(rest + line)
                rest.clear()
            rest += last
            if len(rest) > _LONGEST:
                yield _text(rest)
                rest.clear()
        if rest:
            yield _text(rest)

    def wait(self) -> int:
        """Wait for its end and give the exit code; minus the signal's number where one has ended it."""
        return self._child.wait()

    def stop(self, *, grace: float) -> None:
        """Ask the whole tree to end, and kill what is left after `grace` seconds."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended, or was told already
            self._child.stdin.write(f"{grace}".encode())
            self._child.stdin.close()
        self._child.wait()

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


def _text(line: bytearray) -> str:
    return line.decode(errors="replace").rstrip("\r")
