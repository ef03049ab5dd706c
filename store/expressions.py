"""SQL expressions that the two databases spell differently."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal

__all__ = ["by_code_point", "is_among", "json_object", "listed", "unindexed"]


class by_code_point(ColumnElement[str]):  # noqa: N801 - reads as the SQL expression it is
    """A text that is sorted, compared and folded by code point, whatever the collation of the database is."""

    inherit_cache = True
    type = sa.Text()
    _traverse_internals: ClassVar[Any] = [("inner", InternalTraversal.dp_clauseelement)]

    def __init__(self, inner: ColumnElement[Any]) -> None:
        self.inner = inner


class unindexed(ColumnElement[Any]):  # noqa: N801 - reads as the SQL expression it is
    """A column for which SQLite shall look up no index, because another one is to lead."""

    inherit_cache = True
    _traverse_internals: ClassVar[Any] = [("inner", InternalTraversal.dp_clauseelement)]

    def __init__(self, inner: ColumnElement[Any]) -> None:
        self.inner = inner
        self.type = inner.type


@compiles(by_code_point)
@compiles(unindexed)
def _as_it_is(element: by_code_point | unindexed, compiler: Any, **options: Any) -> str:
    return compiler.process(element.inner, **options)


@compiles(by_code_point, "postgresql")
def _collated(element: by_code_point, compiler: Any, **options: Any) -> str:
    return f'({compiler.process(element.inner, **options)} COLLATE "C")'


@compiles(unindexed, "sqlite")
def _with_a_plus(element: unindexed, compiler: Any, **options: Any) -> str:
    return f"+{compiler.process(element.inner, **options)}"


def is_among(connection: Connection, column: ColumnElement[int], numbers: Collection[int]) -> ColumnElement[bool]:
    """Hold for any of many numbers, which make a single parameter."""
    return column.in_(sa.select(listed(connection, numbers)))


def listed(connection: Connection, numbers: Collection[int]) -> ColumnElement[int]:
    """Give many numbers, which make a single parameter, as the column of a table."""
    if connection.dialect.name == "postgresql":
        array = sa.literal(list(numbers), ARRAY(sa.BigInteger))
        return sa.func.unnest(array).table_valued(sa.column("value", sa.BigInteger)).render_derived().c.value
    return sa.func.json_each(json.dumps(list(numbers))).table_valued(sa.column("value", sa.BigInteger)).c.value


def json_object(connection: Connection, key: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[str]:
    """Give keys and values of a group of rows as the text of one JSON object."""
    if connection.dialect.name == "postgresql":
        return sa.cast(sa.func.json_object_agg(key, value), sa.Text)
    return sa.func.json_group_object(key, value)
