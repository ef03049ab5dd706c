"""The database's own clock: machines disagree on the time, and a store needs one."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

__all__ = ["now_ms"]


class now_ms(FunctionElement[int]):  # noqa: N801 - reads as the SQL function it is
    """The database's own clock, in milliseconds since 1970."""

    type = sa.BigInteger()
    inherit_cache = True
    name = "now_ms"

    @staticmethod
    def spelled(dialect: str) -> str:
        """Give it as text for the database of a dialect."""
        if dialect == "postgresql":
            return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
        return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(now_ms)
def _now(_: now_ms, compiler: Any, **__: Any) -> str:
    return now_ms.spelled(compiler.dialect.name)
