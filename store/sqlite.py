"""SQLite engines: how connections are prepared, when transactions take their locks, and reading read-only places."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DisconnectionError

from ..errors import SettingsError, StoreError

__all__ = ["MIGRATE", "READ", "is_unwritable", "sqlite_engine"]

READ = "prefect_ml_read"
MIGRATE = "prefect_ml_migrate"
_STATE = "prefect_ml_state"  # of a file that is read-only: its path, and how it was then


def sqlite_engine(url: sa.URL) -> Engine:
    """Give an engine for a SQLite file, whose folder is made where it is missing.

    Raises:
        SettingsError: The URL names no file.
        StoreError: The folder cannot be made.
    """
    if not url.database or url.database == ":memory:":
        raise SettingsError("The store needs a file: use sqlite:///path/to/store.db.")
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder of {url.database} cannot be made ({error.strerror}); choose another.") from error
    engine = sa.create_engine(url, connect_args={"timeout": 30}, poolclass=sa.pool.QueuePool)
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "checkout", _see_changes)
    event.listen(engine, "begin", _begin)
    return engine


def is_unwritable(database: str) -> bool:
    """Whether this process may not write a database file, or the files that belong beside it."""
    folder = os.path.dirname(os.path.abspath(database))
    return not os.access(folder, os.W_OK) or (os.path.exists(database) and not os.access(database, os.W_OK))


def _connect(_: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> sqlite3.Connection:
    database = str(arguments[0])
    if is_read_only := os.path.isfile(database) and is_unwritable(database):
        record.info[_STATE] = database, _state_of(database)
    connection = sqlite3.connect(*arguments, **options)
    try:
        _prepare(connection)
    except sqlite3.OperationalError:
        connection.close()
        if not is_read_only:
            raise
        return _connect_immutable(database, options)
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    # The driver's own transaction handling would start writes too late to be serialised.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "busy_timeout = 30000",
        "case_sensitive_like = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _connect_immutable(database: str, options: dict[str, Any]) -> sqlite3.Connection:
    """Open a file that SQLite cannot open, because it may not make the files that belong beside it."""
    log = Path(f"{database}-wal")
    if log.is_file() and log.stat().st_size:
        raise StoreError(
            f"The store {database} is read-only here, and its last changes lie in {log.name}, which cannot be read"
            " without writing; copy both files to a folder that can be written, and read them there."
        )
    connection = sqlite3.connect(f"file:{quote(os.path.abspath(database))}?immutable=1", uri=True, **options)
    connection.isolation_level = None
    connection.execute("PRAGMA case_sensitive_like = ON")
    return connection


def _see_changes(_: sqlite3.Connection, record: Any, _fairy: Any) -> None:
    """Connect anew where a file that was read-only can be written now, or has been changed from elsewhere."""
    database, before = record.info.get(_STATE, (None, None))
    if database is not None and _state_of(database) != before:
        raise DisconnectionError


def _state_of(database: str) -> tuple[object, ...]:
    try:
        found = os.stat(database)
    except OSError:  # gone
        return ()
    there = os.path.exists(f"{database}-wal"), is_unwritable(database)
    return found.st_ino, found.st_size, found.st_mtime_ns, *there


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(MIGRATE):
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    connection.exec_driver_sql("BEGIN" if options.get(READ) else "BEGIN IMMEDIATE")
