"""The process between us and a command: once the command has ended, or we have, nothing that it started stays behind.

It is run as a script, `python -I supervisor.py COMMAND...`, and needs nothing of us, so that it starts at once. Its
standard input is a pipe that we hold. When that is closed, by us or by our death, it ends the whole tree; a number that
was written there before is how many seconds the tree has for its own end. Its exit code, or signal, is the command's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: what loses its parent becomes our child, however it has tried to get away
_GRACE = 5.0  # seconds for what a command leaves behind, and for all of it when we have died
_LOOK = 2.0  # seconds between looks at our parent: a fork of it may hold the pipe open
_HEAD_START = 1.0  # seconds that a process has before its children are asked as well: a shell waits for them
_PAUSE = 0.02
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(command: list[str]) -> int:
    """Run the command, give its exit code (minus a signal's number), and leave nothing of it behind."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    woken = _signals_as_bytes()
    # In a session of its own, for `kill 0` in a script must not reach us; locks that we have inherited go with it.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, close_fds=False)
    _let_go_of_output()
    grace = _attend(child, woken, parent)
    _end_tree(child, grace)
    return child.returncode


def _signals_as_bytes() -> int:
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    for number in (signal.SIGCHLD, *_ENDS):
        signal.signal(number, _wake)
    return read


def _wake(_number: int, _frame: object) -> None:
    """Do nothing: the signal's number is in the pipe."""


def _let_go_of_output() -> None:
    """Close our copies of the pipe that the command writes to: its reader waits for the last one."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)


def _attend(child: subprocess.Popen[bytes], woken: int, parent: int) -> float:
    """Wait until the command has ended or is to end, and give the seconds that its tree has from then on."""
    said = b""
    while _reap(child) and child.returncode is None and os.getppid() == parent:
        ready, _, _ = select.select([0, woken], [], [], _LOOK)
        if woken in ready and not {signal.SIGCHLD}.issuperset(os.read(woken, 512)):
            break
        if 0 in ready:
            chunk = os.read(0, 512)
            said += chunk
            if not chunk:
                return float(said or _GRACE)
    return _GRACE


def _end_tree(child: subprocess.Popen[bytes], grace: float) -> None:
    """Ask all that is left to end, parents before their children, and kill what has not after `grace` seconds."""
    asked: set[int] = set()
    begun = time.monotonic()
    while _reap(child):
        passed = time.monotonic() - begun
        late = passed >= grace
        # A program whose child ends first takes that for the child's own failure, or for its success.
        for pid in _tree(child.pid, whole=late or passed >= _HEAD_START) - (set() if late else asked):
            asked.add(pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(_PAUSE)


def _reap(child: subprocess.Popen[bytes]) -> bool:
    """Take note of what has ended, and say whether anything is left."""
    try:
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            if ended[0] == child.pid:
                child.returncode = os.waitstatus_to_exitcode(ended[1])
    except ChildProcessError:
        return sys.platform != "linux" and bool(_tree(child.pid, whole=True))
    return True


def _tree(session: int, *, whole: bool) -> set[int]:
    """Find the processes below this one, or directly below; where orphans leave it, those of the session as well."""
    import psutil

    found = {process.pid for process in psutil.Process().children(recursive=whole)}
    if whole and sys.platform != "linux":
        for pid in psutil.pids():
            with contextlib.suppress(OSError):
                if os.getsid(pid) == session:
                    found.add(pid)
    return found


if __name__ == "__main__":
    code = main(sys.argv[1:])
    if code < 0:  # end as the command did, without a core of our own
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
