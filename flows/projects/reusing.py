"""Results of steps: which run has what somebody asks for, whether it still has it, and one at a time who makes it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ...errors import ArtifactError
from ...locks import locked
from ...running import flow_run_id, task_run
from ...settings import Settings
from ...store import current_store, get_run, new_id
from ...store.artifacts import join, put_file
from ...store.entries import result_entry, reuse_entry
from ...store.reuses import producer_of
from ...store.run_artifacts import download_artifacts, list_artifacts
from ...store.writers import writer_for
from ...tasks.active import current_run
from .sources import Report

__all__ = ["STEP", "note_result", "note_reuse", "one_at_a_time", "reusable"]

STEP = "project/step.json"


def reusable(key: str, report: Report) -> str | None:
    """Give the run whose result is kept under a key, if nothing of what it has logged is gone."""
    producer = producer_of(key)
    if producer is None:
        return None
    try:
        kept = {one.path: one.size for one in list_artifacts(producer)}
        with tempfile.TemporaryDirectory() as folder:
            step = json.loads(download_artifacts(producer, STEP, to=folder).read_text())
    except ArtifactError as error:
        report(f"Run {producer} did the same, but what it has logged cannot be had: {error}")
        return None
    gone = [path for path, size in step["artifacts"].items() if kept.get(path) != size]
    if gone:
        report(f"Run {producer} did the same, but its artifact {gone[0]!r} is gone or another.")
    return None if gone else producer


def note_result(run_id: str, key: str) -> None:
    """Keep what a run has produced under a key, from now on and for all machines."""
    step = {"key": key, "artifacts": {one.path: one.size for one in list_artifacts(run_id)}}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "step.json")
        file.write_text(json.dumps(step))
        put_file(file, join(get_run(run_id).artifact_uri, STEP))
    writer = writer_for(current_store())
    writer.submit(result_entry(run_id, key))
    writer.settle()  # whoever waits for this step looks into the database


def note_reuse(producer: str, key: str, name: str) -> None:
    """Record with the run around the caller, if there is one, what it has reused."""
    outer, within = current_run(), task_run()
    parent = outer.id if outer else flow_run_id()
    if parent and parent != producer:
        writer_for(current_store()).submit(reuse_entry(parent, within.id if within else new_id(), key, name))


@contextmanager
def one_at_a_time(key: str, settings: Settings, report: Report) -> Generator[None]:
    """Hold a key among all processes and threads of this machine; one that dies holds it no more.

    Raises:
        ProjectError: The folder of locks cannot be written.
    """
    lock = settings.home / "steps" / f"{key.rpartition('/')[2]}.lock"
    with locked(lock, waiting=lambda: report("Waiting for the same step, which runs already")):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
