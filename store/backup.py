"""Backups: one SQLite file with everything that a store knew at one moment, taken while it is in use."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..errors import BadTarget, StoreError
from . import schema
from .copying import copy_rows, snapshot
from .engine import Store, connect_store, current_store
from .upgrade import ensure_schema
from .upsert import insert_all_new
from .writers import recover

__all__ = ["backup_store"]


def backup_store(to: str | Path, *, store: Store | None = None) -> Path:
    """Write a store to a new SQLite file, which is itself a store; artifacts stay where they are.

    Args:
        to: The file, or a folder for a file named like the store's.
        store: Another store than the one that the settings name.

    Raises:
        BadTarget: The file exists, or its folder does not.
        StoreError: The file cannot be written, or the database failed.
    """
    store = current_store(store)
    target = Path(to)
    if target.is_dir():
        target = target / "store.db"
    if target.exists():
        raise BadTarget(f"{target} exists; give the backup a name of its own.")
    if not target.parent.is_dir():
        raise BadTarget(f"There is no folder {target.parent}; make it, or choose another place for the backup.")
    recover(store)
    part = target.with_name(f".{target.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        if store.engine.dialect.name == "sqlite":
            _copy_file(store, part)
        else:
            _copy_snapshot(store, part)
        part.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"The backup {target} cannot be written ({error}); choose another place.") from error
    finally:
        for left in (part, *(part.with_name(f"{part.name}{end}") for end in ("-wal", "-shm", "-journal"))):
            left.unlink(missing_ok=True)
    return target


def _copy_file(store: Store, part: Path) -> None:
    """Copy page by page; SQLite begins again by itself where somebody writes meanwhile."""
    source: Any = store.engine.raw_connection()
    try:
        copy = sqlite3.connect(part)
        try:
            source.driver_connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            (verdict,) = copy.execute("PRAGMA quick_check").fetchone()
        finally:
            copy.close()
    finally:
        source.close()
    if verdict != "ok":
        raise StoreError(f"The store {store.url} is damaged ({verdict}); restore an earlier backup.")


def _copy_snapshot(store: Store, part: Path) -> None:
    """Copy row by row what one transaction sees."""
    copy = connect_store(replace(store.settings, store_url=f"sqlite:///{part}"))
    try:
        ensure_schema(copy)
        with snapshot(store) as source:
            copy_rows(source, copy, None, say=lambda _: None)
            with copy.write() as there:
                for table in (schema.journals, schema.endpoints):
                    rows = [dict(row) for row in source.execute(sa.select(table)).mappings()]
                    if rows:
                        insert_all_new(there, table, rows)
    finally:
        copy.engine.dispose()
    finished = sqlite3.connect(part)
    try:
        finished.execute("PRAGMA journal_mode = DELETE")  # everything in one file
    finally:
        finished.close()
