"""Reading many rows with few steps of Python for each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .expressions import is_among

__all__ = ["among", "raw_rows"]


def raw_rows(connection: Connection, query: sa.Select[Any]) -> Sequence[Any]:
    """Give rows as the driver has them: SQLAlchemy would make an object of its own of each."""
    cursor = connection.execute(query).cursor
    return cursor.fetchall() if cursor else []


def among(connection: Connection, column: sa.ColumnElement[int], numbers: Collection[int]) -> sa.ColumnElement[bool]:
    """Hold for any of many different numbers; where none is left out between them, by comparing twice."""
    first, last = min(numbers), max(numbers)
    return column.between(first, last) if last - first < len(numbers) else is_among(connection, column, numbers)
