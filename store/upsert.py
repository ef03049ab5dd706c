"""Insert-or-update, in the dialect of the database at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

__all__ = ["insert_new", "intern", "upsert"]


def upsert(connection: Connection, table: sa.Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Insert the row `key` + `values`, or set `values` where the row `key` exists."""
    statement = _insert(connection, table).values({**key, **values})
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=dict(values)))


def insert_new(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert the row unless one with its key exists; tell whether it was new."""
    return connection.execute(_insert(connection, table).values(dict(row)).on_conflict_do_nothing()).rowcount > 0


def intern(connection: Connection, table: sa.Table, name: str, **others: Any) -> int:
    """Give the id of the row called `name`, made with `others` where it is missing."""
    query = sa.select(table.c.id).where(table.c.name == name)
    found = connection.execute(query).scalar()
    if found is None:
        insert_new(connection, table, {"name": name, **others})
        found = connection.execute(query).scalar_one()
    return int(found)


def _insert(connection: Connection, table: sa.Table) -> Any:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)
