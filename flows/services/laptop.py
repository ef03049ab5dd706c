"""`up` and `down`: everything that a laptop needs, started and stopped."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version

from ...errors import ServiceError
from ...settings import Settings, load_settings
from .environment import prefect_environment
from .overview import Status, status
from .preparation import Preparation
from .prepare import POOL, POOL_READY
from .process import end, family, last_words, spawn
from .records import NAMES, Record, alone, forget, log_of, read, running, write
from .server import open_server, wait_for_server
from .unfinished import crash_unfinished

__all__ = ["down", "up"]

_FLOWS_AT_ONCE = max(4, os.cpu_count() or 1)


def up(*, settings: Settings | None = None, report: Callable[[str], None] | None = None) -> Status:
    """Start what a laptop needs, detached, and leave alone what runs already.

    That is a Prefect server (or the one that PREFECT_API_URL names), the work pool, the blocks, the deployments with
    their automations, a worker, and the agent that owns this host's endpoints.

    Args:
        settings: Where things are kept; resolved from the environment by default.
        report: Gets one line per step.

    Raises:
        ServiceError: Something did not start; the message names its log.
        StoreError: The store cannot be opened.
    """
    settings = settings or load_settings()
    report = report or _silent
    with alone(settings, report):
        _open_store(settings, report)
        server = open_server(settings, report)
        with Preparation(settings) as preparation:
            preparation.start(server)
            _ensure_agent(settings, report)
            server = wait_for_server(settings, server, report)
            report(f"Prefect server: answers at {server.api_url}, its UI at {server.ui_url}")
            preparation.start(server)
            for line in preparation.lines():
                report(line)
                if line == POOL_READY:
                    _ensure_worker(settings, server, report)
        write(settings, replace(server, prepared=True))
        _check(settings)
        return status(settings=settings)


def down(*, settings: Settings | None = None, report: Callable[[str], None] | None = None) -> None:
    """Stop exactly what `up` started, with everything that it started in turn; nothing running is fine.

    Args:
        settings: Where things are kept; resolved from the environment by default.
        report: Gets one line per step.
    """
    settings = settings or load_settings()
    report = report or _silent
    if not settings.services.exists():
        report("Nothing runs")
        return
    with alone(settings, report):
        # The worker and the agent say goodbye to the server, so the server goes last.
        stopped = _stop(settings, ("worker", "agent"), grace=15)
        server = running(settings, "prefect")
        if server and server.owner and (ended := crash_unfinished(server.api_url or "")):
            report(f"Flow runs ended before they were done: {ended}")
        stopped += _stop(settings, ("prepare", "prefect"), grace=10)
        report(f"Stopped: {', '.join(stopped)}" if stopped else "Nothing runs")


def _open_store(settings: Settings, report: Callable[[str], None]) -> None:
    from ...store import open_store

    report(f"Store: {open_store(settings).url}")


def _ensure_agent(settings: Settings, report: Callable[[str], None]) -> None:
    environment = prefect_environment(settings)
    environment.pop("PREFECT_API_URL", None)  # the agent looks the address up, and so follows a server that moves
    _ensure(settings, "agent", ["-m", "prefect_ml.cli", "agent"], environment, report)


def _ensure_worker(settings: Settings, server: Record, report: Callable[[str], None]) -> None:
    environment = {
        **prefect_environment(settings),
        "PREFECT_API_URL": server.api_url or "",
        "PREFECT_WORKER_QUERY_SECONDS": "2",  # Prefect's 10 would be most of the wait for a short flow
    }
    options = ["--pool", POOL, "--type", "process", "--name", socket.gethostname(), "--limit", str(_FLOWS_AT_ONCE)]
    command = ["-m", "prefect", "--no-prompt", "worker", "start", *options]
    _ensure(settings, "worker", command, environment, report)


def _ensure(
    settings: Settings, name: str, command: list[str], environment: dict[str, str], report: Callable[[str], None]
) -> None:
    title = name.capitalize()
    stamp = _stamp(command, environment)
    record = running(settings, name)
    if record and record.stamp == stamp:
        report(f"{title}: runs")
        return
    if record:
        report(f"{title}: its settings changed, so it is started again")
        end(family(settings, name, record.owner), grace=15)
    write(settings, Record(name, spawn(settings, name, command, environment), stamp=stamp))
    report(f"{title}: started")


def _stamp(command: list[str], environment: dict[str, str]) -> str:
    relevant = {key: value for key, value in environment.items() if key.startswith(("PREFECT_", "AWS_"))}
    text = repr((command, sorted(relevant.items()), version("prefect-ml")))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check(settings: Settings) -> None:
    for name in NAMES:
        if not running(settings, name):
            log = log_of(settings, name)
            raise ServiceError(
                f"The {name} service ended right after its start ({last_words(log)});"
                f" see {log}, mend the cause and run `prefect-ml up` again."
            )


def _stop(settings: Settings, names: tuple[str, ...], *, grace: float) -> list[str]:
    owners = {name: record.owner for name in names if (record := read(settings, name))}
    families = {name: family(settings, name, owners.get(name)) for name in names}
    # A service that is asked alone ends what it started in its own order, and writes down that it did.
    end([owner for owner in owners.values() if owner], grace=grace)
    end([member for members in families.values() for member in members], grace=5)
    # What a service started in its last moment was not yet there when its family was counted.
    while late := [member for name in names for member in family(settings, name, owners.get(name))]:
        end(late, grace=5)
    for name in names:
        forget(settings, name)
    return [name for name, members in families.items() if members]


def _silent(_line: str) -> None:
    """Report to nobody."""
