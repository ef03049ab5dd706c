"""The store: SQL schema and migrations, engines, runs, metric series, journals, filters and artifacts."""

from __future__ import annotations

from .clock import now_ms
from .engine import Store, current_store, open_store
from .history import metric_history
from .ids import child_id, new_id
from .queries import count_runs, get_run, search_runs
from .records import MetricHistory, Run, Source, as_json, from_ms, to_ms
from .results import RunList
from .upgrade import upgrade_store
from .writers import recover

__all__ = [
    "MetricHistory",
    "Run",
    "RunList",
    "Source",
    "Store",
    "as_json",
    "child_id",
    "count_runs",
    "current_store",
    "from_ms",
    "get_run",
    "metric_history",
    "new_id",
    "now_ms",
    "open_store",
    "recover",
    "search_runs",
    "to_ms",
    "upgrade_store",
]
