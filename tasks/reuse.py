"""What Prefect takes from its cache: which run has produced it, and where it was used again.

A task run that ends as Cached never calls the function, so it is seen by a hook on the Prefect task only. Hooks cost
two lines in Prefect's log each time, which is why only tasks that have a cache get one.
"""

from __future__ import annotations

import sys
from typing import Any

from ..running import PrefectRun
from ..store import current_store
from ..store.entries import result_entry, reuse_entry
from ..store.writers import writer_for
from .active import ActiveRun, current_run

__all__ = ["note_result", "note_reuse", "watch_cache"]


def watch_cache(task: Any) -> None:
    """Have a Prefect task tell when its result comes from the cache."""
    hooks: list[Any] | None = getattr(task, "on_completion_hooks", None)
    if hooks is not None and getattr(task, "persist_result", None) and note_reuse not in hooks:
        task.on_completion_hooks = [*hooks, note_reuse]


def note_result(run: ActiveRun, prefect: PrefectRun) -> None:
    """Record under which key Prefect will find what a run has produced."""
    transactions = sys.modules.get("prefect.transactions")
    transaction = transactions.get_transaction() if transactions else None
    task = getattr(prefect.context, "task", None)
    if task is None or transaction is None or not (transaction.key and transaction.write_on_commit):
        return
    run.writer.post(result_entry(run.id, transaction.key))
    if note_reuse not in task.on_completion_hooks:  # the flow has switched the cache on; it may try again
        task.on_completion_hooks.append(note_reuse)


def note_reuse(_: object, task_run: Any, state: Any) -> None:
    """Prefect's hook: record that a task run has taken its result from the cache."""
    path = getattr(getattr(state.data, "metadata", state.data), "storage_key", None)
    outer = current_run()
    parent = outer.id if outer else task_run.flow_run_id and str(task_run.flow_run_id)
    if state.name == "Cached" and path and parent:
        store = outer.store if outer else current_store()
        writer_for(store).post(reuse_entry(parent, str(task_run.id), str(path), task_run.name))
