"""Insert-or-update, as SQLite and PostgreSQL both spell it.

SQLAlchemy compiles its own ON CONFLICT clauses anew at each execution; these texts are made once.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .clock import now_ms

__all__ = ["insert_all_new", "insert_new", "insert_returning", "upsert", "upsert_all"]

Row = Mapping[str, Any]


def upsert(connection: Connection, table: sa.Table, key: Row, values: Row) -> None:
    """Insert the row `key` + `values`, or set `values` where the row `key` exists."""
    upsert_all(connection, table, tuple(key), [{**key, **values}])


def upsert_all(connection: Connection, table: sa.Table, key: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Insert rows of the same columns; where one with the same `key` exists, set the other columns."""
    changed = ", ".join(f'"{name}" = excluded."{name}"' for name in rows[0] if name not in key)
    conflict = f"({', '.join(key)}) DO UPDATE SET {changed}"
    _execute(connection, table, rows, conflict)


def insert_new(connection: Connection, table: sa.Table, row: Row) -> bool:
    """Insert the row unless one with its key exists; tell whether it was new."""
    return _execute(connection, table, [row], "DO NOTHING RETURNING 1").first() is not None


def insert_returning(
    connection: Connection, table: sa.Table, row: Row, returning: tuple[str, ...]
) -> sa.Row[Any] | None:
    """Insert the row and give some columns of it, or give None where one with its key exists."""
    return _execute(connection, table, [row], f"DO NOTHING RETURNING {', '.join(returning)}").first()


def insert_all_new(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert rows of the same columns, but those whose key exists."""
    _execute(connection, table, rows, "DO NOTHING")


def _execute(connection: Connection, table: sa.Table, rows: Sequence[Row], conflict: str) -> sa.CursorResult[Any]:
    """Insert rows; a value `now_ms()` is the database's time."""
    now = tuple(name for name, value in rows[0].items() if isinstance(value, now_ms))
    statement = _insert(connection.dialect.name, table, tuple(rows[0]), now, conflict)
    given = [{name: value for name, value in row.items() if name not in now} for row in rows]
    return connection.execute(statement, given if len(given) > 1 else given[0])


@functools.lru_cache(maxsize=128)
def _insert(
    dialect: str, table: sa.Table, names: tuple[str, ...], now: tuple[str, ...], conflict: str
) -> sa.TextClause:
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(now_ms.spelled(dialect) if name in now else f":{name}" for name in names)
    text = f"INSERT INTO {table.name} ({columns}) VALUES ({values}) ON CONFLICT {conflict}"  # noqa: S608 - our own names
    bound = (sa.bindparam(name, type_=table.c[name].type) for name in names if name not in now)
    return sa.text(text).bindparams(*bound)
