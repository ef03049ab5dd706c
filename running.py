"""Where Prefect says we are: the task run and flow run around the caller. Never imports Prefect itself."""

from __future__ import annotations

import getpass
import sys
from dataclasses import dataclass
from typing import Any

__all__ = ["PrefectRun", "flow_run", "flow_run_id", "system_user", "task_run"]


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


def system_user() -> str:
    """Give the name of the system's user, or 'unknown' where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under an id without a name
        return "unknown"


def _context(name: str) -> Any:
    module = sys.modules.get("prefect.context")
    return None if module is None else getattr(module, name).get()
