"""What training code and flows call. Prefect's own objects come in on first need."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .active import ActiveRun, current_run
    from .coarse import compare_runs, evaluate, log_artifacts, log_dataset, log_model, promote, register_model
    from .track import track, tracked_flow, tracked_task

__all__ = [
    "ActiveRun",
    "compare_runs",
    "current_run",
    "evaluate",
    "log_artifacts",
    "log_dataset",
    "log_model",
    "promote",
    "register_model",
    "track",
    "tracked_flow",
    "tracked_task",
]

_MODULES = {
    "ActiveRun": "active",
    "compare_runs": "coarse",
    "current_run": "active",
    "evaluate": "coarse",
    "log_artifacts": "coarse",
    "log_dataset": "coarse",
    "log_model": "coarse",
    "promote": "coarse",
    "register_model": "coarse",
    "track": "track",
    "tracked_flow": "track",
    "tracked_task": "track",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
