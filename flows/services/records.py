"""What `up` remembers about a background service: one small file each, so that a later command finds it again."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import ServiceError
from ...processes import Owner, is_alive
from ...settings import Settings

__all__ = ["NAMES", "Record", "alone", "forget", "log_of", "read", "running", "write"]

NAMES = ("prefect", "agent", "worker")


@dataclass(frozen=True)
class Record:
    """A service as its file describes it.

    Attributes:
        name: One of `NAMES`.
        owner: The process, or None where the service is somebody else's (a configured Prefect server).
        api_url: Address of the Prefect API; only for "prefect".
        ui_url: Address of the Prefect UI; only for "prefect".
        prepared: Whether the server knows our deployments and automations; only for "prefect".
        stamp: Digest of what the service was started with; a service with another stamp is started again.
    """

    name: str
    owner: Owner | None
    api_url: str | None = None
    ui_url: str | None = None
    prepared: bool = False
    stamp: str | None = None


def read(settings: Settings, name: str) -> Record | None:
    """Give the record of a service, whether or not it still runs; None where there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads(_file(settings, name).read_text())
        owner = Owner(found["pid"], found["started"], found["boot"]) if found["pid"] else None
        prepared = bool(found.get("prepared"))
        return Record(name, owner, found.get("api_url"), found.get("ui_url"), prepared, found.get("stamp"))
    except (OSError, ValueError, KeyError):
        return None


def running(settings: Settings, name: str) -> Record | None:
    """Give the record of a service whose process still runs, or that is not ours to run."""
    record = read(settings, name)
    if record is None or (record.owner is not None and not is_alive(record.owner)):
        return None
    return record


def write(settings: Settings, record: Record) -> None:
    """Keep a record; a reader sees the old one or the new one, never half of it."""
    values = asdict(record)
    owner = values.pop("owner") or {"pid": None}
    body = {key: value for key, value in (owner | values).items() if key != "name"}
    draft = _file(settings, record.name).with_suffix(".new")
    with _translated(settings):
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(body, file)
        draft.replace(_file(settings, record.name))


def forget(settings: Settings, name: str) -> None:
    """Remove the record of a service that has ended."""
    _file(settings, name).unlink(missing_ok=True)


def log_of(settings: Settings, name: str) -> Path:
    """Where a service writes its log."""
    return settings.services / f"{name}.log"


@contextmanager
def alone(settings: Settings, report: Callable[[str], None]) -> Generator[None]:
    """Hold the one lock under which services are started and stopped, waiting for who holds it now."""
    with _translated(settings):
        settings.services.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(settings.services / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("Another `prefect-ml up` or `down` is at work; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _file(settings: Settings, name: str) -> Path:
    return settings.services / f"{name}.json"


@contextmanager
def _translated(settings: Settings) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise ServiceError(
            f"{settings.services} cannot be written ({error.strerror}); set PREFECT_ML_HOME to a folder of yours."
        ) from error
