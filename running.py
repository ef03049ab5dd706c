"""What runs around us: the Prefect run that we are in, and the Prefect API. Never imports Prefect itself."""

from __future__ import annotations

import getpass
import json
import os
import sys
from dataclasses import dataclass
from typing import Any

from .processes import Owner, is_alive
from .settings import Settings

__all__ = ["PrefectRun", "api_url", "flow_run", "flow_run_id", "is_api_known", "relay_url", "system_user", "task_run"]


@dataclass(frozen=True)
class PrefectRun:
    """A task run or flow run that executes now.

    Attributes:
        id: Its id in Prefect.
        name: Its name in Prefect.
        attempt: How often it has been started; 1 is the first time.
        flow_run_id: The flow run that it is, or belongs to.
        context: Prefect's own context object.
    """

    id: str
    name: str
    attempt: int
    flow_run_id: str | None
    context: Any


def task_run() -> PrefectRun | None:
    """Give the task run around the caller, or None."""
    context = _context("TaskRunContext")
    if context is None:
        return None
    run = context.task_run
    flow_run = None if run.flow_run_id is None else str(run.flow_run_id)
    return PrefectRun(str(run.id), run.name, max(run.run_count, 1), flow_run, context)


def flow_run() -> PrefectRun | None:
    """Give the flow run around the caller, or None."""
    context = _context("FlowRunContext")
    if context is None or context.flow_run is None:
        return None
    run = context.flow_run
    return PrefectRun(str(run.id), run.name, max(run.run_count, 1), str(run.id), context)


def flow_run_id() -> str | None:
    """Give the id of the flow run around the caller, or None."""
    found = task_run() or flow_run()
    return found.flow_run_id if found else None


def api_url(settings: Settings) -> str | None:
    """Give the address of the Prefect API: the configured one, else that of the server that `up` started.

    Args:
        settings: Says where `up` keeps its records.

    Returns:
        The address, or None where none is configured and no server of ours runs.
    """
    return os.environ.get("PREFECT_API_URL") or _server(settings).get("api_url")


def is_api_known(settings: Settings) -> bool:
    """Whether a flow run of this process would go to a server that is there, so that Prefect starts none of its own.

    Prefect reads its settings when it is imported, and so do its threads: where it is not imported yet, it is told of
    the server that `up` started through the environment of this process.
    """
    if module := sys.modules.get("prefect.settings"):
        return bool(module.PREFECT_API_URL.value())
    if url := api_url(settings):
        os.environ["PREFECT_API_URL"] = url
    return url is not None


def relay_url(settings: Settings) -> str | None:
    """Give the address to relay events to: that of `api_url`, once `up` has made the automations there.

    Prefect acts on an event when it comes, and never on one that came before the automation.
    """
    server = _server(settings)
    return os.environ.get("PREFECT_API_URL") or (server.get("api_url") if server.get("prepared") else None)


def system_user() -> str:
    """Give the name of the system's user, or 'unknown' where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under an id without a name
        return "unknown"


def _server(settings: Settings) -> dict[str, Any]:
    try:
        server: dict[str, Any] = json.loads((settings.services / "prefect.json").read_text())
        ours = server["pid"] is not None
        alive = not ours or is_alive(Owner(server["pid"], server["started"], server["boot"]))
    except (OSError, ValueError, KeyError):
        return {}
    return server if alive else {}


def _context(name: str) -> Any:
    module = sys.modules.get("prefect.context")
    return None if module is None else getattr(module, name).get()
