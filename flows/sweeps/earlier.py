"""Which sweep a call means where what is around it is tried again: the one that it began the first time.

A sweep of this kind is known by what is around it, what it does, and how many of the same came before it there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ...running import flow_run
from ...store import Run, Store, child_id, current_store, new_id, search_runs
from ...store.entries import result_entry, reuse_entry
from ...store.writers import writer_for
from ...tasks.active import ActiveRun, current_run
from ...tasks.scope import require_run

__all__ = ["KEY", "adopt", "begun_before", "key_of", "note_key"]

KEY = "sweep_key"  # tag of a sweep that may be asked for again


def key_of(asked: Mapping[str, Any], store: Store) -> str | None:
    """Give what a sweep is known by when its call is made again, or None where nobody could tell.

    Args:
        asked: All that it was asked for, as plain values.
        store: Where its runs are.
    """
    outer = _around(store)
    if outer is None or not outer.counts_children:
        return None
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return child_id(outer.id, f"sweep {digest}", next(outer.children[f"sweep {digest}"]))


def begun_before(key: str, store: Store) -> Run | None:
    """Give the sweep that an earlier attempt has begun under a key, unless it died before it said what it does."""
    found = search_runs(f"tags.{KEY} = '{key}'", superseded=True, store=store)
    return next((run for run in found if "space" in run.params), None)


def note_key(run: ActiveRun, key: str) -> None:
    """Keep a sweep's run under its key."""
    run.writer.submit(result_entry(run.id, _place(key)))


def adopt(key: str, name: str, store: Store) -> None:
    """Have the attempt around the caller take over the sweep that an earlier one has begun, with its trials."""
    outer = current_run()
    assert outer is not None
    writer_for(store).submit(reuse_entry(outer.id, new_id(), _place(key), name))


def _around(store: Store) -> ActiveRun | None:
    if flow_run() and store is current_store():
        require_run("sweep", None)  # so that the flow has a run, which the next attempt of it is known by
    outer = current_run()
    return outer if outer and outer.store is store else None


def _place(key: str) -> str:
    return f"sweep/{key}"
