"""The store: SQL schema and migrations, engines, runs, metric series, journals, filters and artifacts."""

from __future__ import annotations

from .engine import Store, current_store, now_ms, open_store
from .records import MetricHistory, Run, RunList, Source, as_json, from_ms, to_ms

__all__ = [
    "MetricHistory",
    "Run",
    "RunList",
    "Source",
    "Store",
    "as_json",
    "current_store",
    "from_ms",
    "now_ms",
    "open_store",
    "to_ms",
]
