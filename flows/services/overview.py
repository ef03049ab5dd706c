"""What runs, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...running import api_url
from ...settings import Settings, load_settings
from .records import log_of, read, running
from .server import is_healthy

if TYPE_CHECKING:
    from ...serving import Endpoint

__all__ = ["Running", "Status", "status", "status_as_json"]


@dataclass(frozen=True)
class Running:
    """A service of ours that runs.

    Attributes:
        pid: Its process id.
        log: Path of its log.
    """

    pid: int
    log: str


@dataclass(frozen=True)
class Status:
    """What runs, and where.

    Attributes:
        prefect_api_url: Address of the Prefect API, or None where none answers.
        prefect_ui_url: Address of the Prefect UI, or None where none answers.
        store_url: URL of the store, its password masked.
        worker: The worker that `up` started, or None where it does not run.
        agent: The agent that `up` started, or None where it does not run.
        endpoints: Every endpoint that the store knows.
        outbox_backlog: Registry events that Prefect has not been told yet.
    """

    prefect_api_url: str | None
    prefect_ui_url: str | None
    store_url: str
    worker: Running | None
    agent: Running | None
    endpoints: list[Endpoint]
    outbox_backlog: int


def status(*, settings: Settings | None = None) -> Status:
    """Look at what runs. Starts nothing.

    Args:
        settings: Where things are kept; resolved from the environment by default.

    Raises:
        StoreError: The store cannot be opened.
    """
    from ...registry.outbox import backlog
    from ...serving import list_endpoints
    from ...store import open_store

    settings = settings or load_settings()
    store = open_store(settings)
    address = api_url(settings)
    answers = address is not None and is_healthy(address)
    record = read(settings, "prefect")
    return Status(
        prefect_api_url=address if answers else None,
        prefect_ui_url=record.ui_url if answers and record else None,
        store_url=store.url,
        worker=_running(settings, "worker"),
        agent=_running(settings, "agent"),
        endpoints=list_endpoints(store=store),
        outbox_backlog=backlog(store=store),
    )


def status_as_json(found: Status) -> dict[str, Any]:
    """Give a status as JSON-ready values under its own field names."""
    from ...store import as_json

    return {
        **as_json(found),
        "worker": as_json(found.worker) if found.worker else None,
        "agent": as_json(found.agent) if found.agent else None,
        "endpoints": [as_json(endpoint) for endpoint in found.endpoints],
    }


def _running(settings: Settings, name: str) -> Running | None:
    record = running(settings, name)
    if record is None or record.owner is None:
        return None
    return Running(record.owner.pid, str(log_of(settings, name)))
