"""Starting a process that outlives us, and ending it with all that it started."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...errors import ServiceError
from ...processes import Owner, is_alive, owner_of
from ...settings import Settings
from .records import log_of

__all__ = ["end", "family", "last_words", "marked", "spawn"]

# Inherited by everything that a service starts; names the service, so that orphans are still known as ours.
_MARK = "_PREFECT_ML_SERVICE"
_ERROR = re.compile(r"[\w.]*(Error|Exception|Failed)\b.*: ")


def spawn(settings: Settings, name: str, arguments: list[str], environment: Mapping[str, str]) -> Owner:
    """Start `python ARGUMENTS` detached, in a session of its own, writing to the service's log.

    Raises:
        ServiceError: The process ended at once.
    """
    log = log_of(settings, name)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**marked(settings, name, environment), "PYTHONUNBUFFERED": "1"},
            cwd=settings.services,  # a user's folder could shadow modules or configure Prefect
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    owner = owner_of(process.pid)
    if owner is None:
        raise ServiceError(f"The {name} service ended at once ({last_words(log)}); see {log}.")
    return owner


def marked(settings: Settings, name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Give the environment with the mark by which `family` knows a service's processes."""
    return {**environment, _MARK: _mark(settings, name)}


def family(settings: Settings, name: str, owner: Owner | None) -> list[Owner]:
    """Give the living processes of a service: its own, their descendants, and orphans that carry its mark."""
    parents = _parents()
    found = _marked(_mark(settings, name), parents)
    if owner is not None and is_alive(owner):
        found.add(owner.pid)
    grown = True
    while grown:
        young = {pid for pid, parent in parents.items() if parent in found} - found
        found |= young
        grown = bool(young)
    found.discard(os.getpid())
    return [known for pid in sorted(found) if (known := owner_of(pid))]


def end(owners: Iterable[Owner], *, grace: float) -> None:
    """Ask the processes to end, wait up to `grace` seconds, and end by force what is left."""
    alive = _signal(owners, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = [owner for owner in alive if is_alive(owner)]
    alive = _signal(alive, signal.SIGKILL)
    while alive:
        time.sleep(0.02)
        alive = [owner for owner in alive if is_alive(owner)]


def last_words(log: Path) -> str:
    """Give what a log ends with: its last error, else its last line that says something."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    except OSError:
        return "it left no log"
    said = [line for line in lines if any(map(str.isalnum, line))]
    errors = [line for line in said if _ERROR.match(line)]
    return next(reversed(errors or said), "its log is empty")


def _signal(owners: Iterable[Owner], number: signal.Signals) -> list[Owner]:
    alive = [owner for owner in owners if is_alive(owner)]
    for owner in alive:
        try:
            os.kill(owner.pid, number)
        except ProcessLookupError:
            continue
    return alive


def _mark(settings: Settings, name: str) -> str:
    return str(settings.services / name)


def _parents() -> dict[int, int]:
    if sys.platform == "linux":
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
        return {pid: parent for pid in pids if (parent := _parent(pid)) is not None}
    answer = subprocess.run(["/bin/ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=False)
    rows = [line.split() for line in answer.stdout.splitlines()]
    return {int(pid): int(parent) for pid, parent in rows}


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _marked(mark: str, pids: Iterable[int]) -> set[int]:
    if sys.platform != "linux":  # elsewhere the environment of a process is not readable; descendants have to do
        return set()
    wanted = f"{_MARK}={mark}".encode()
    return {pid for pid in pids if wanted in _environment(pid)}


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
