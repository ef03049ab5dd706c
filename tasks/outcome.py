"""What a run ends as, by the error that left its body."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timezone
from typing import Any

from ..errors import Pruned
from ..running import flow_run, task_run

__all__ = ["status_of", "words_of"]


def status_of(error: BaseException) -> str:
    """Give the status of a run whose body was left by `error`."""
    if isinstance(error, Pruned):
        return "Completed"
    names = {kind.__name__ for kind in type(error).__mro__}
    if "TerminationSignal" in names:
        return "Cancelled" if _is_cancelled() else "Crashed"
    if isinstance(error, asyncio.CancelledError) or names & {"CancelledError", "CancelledRun"}:
        return "Failed" if _timed_out() else "Cancelled"
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        return "Cancelled"
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return "Completed"
    return "Failed"


def words_of(error: BaseException) -> str:
    """Say what an error says, in text that every database takes."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an error that cannot say what it is must not keep its run from being closed
        text = type(error).__name__
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _is_cancelled() -> bool:
    """Whether the signal that ends this process means that its Prefect run was cancelled; Prefect asks the same."""
    listener: Any = sys.modules.get("prefect._internal.control_listener")
    return listener is not None and listener.get_intent() == "cancel"


def _timed_out() -> bool:
    """Whether Prefect has cancelled the body because its time is up, which is a failure to Prefect."""
    return any(_is_over(run.context) for run in (task_run(), flow_run()) if run)


def _is_over(context: Any) -> bool:
    owner = getattr(context, "task", None) or context.flow
    limit: float | None = getattr(owner, "timeout_seconds", None)
    return limit is not None and (datetime.now(timezone.utc) - context.start_time).total_seconds() >= limit
