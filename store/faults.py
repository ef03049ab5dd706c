"""What goes wrong in a database, in one sentence that says what to do."""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from .sqlite import is_unwritable

__all__ = ["explained"]

_READ_ONLY = "it is read-only here; make it writable, or choose another with PREFECT_ML_STORE_URL"
_AWAY = "check that it is reachable and try again"
_BUSY = "another process keeps it locked; try again when that is done"
_FULL = "make room on its disk"
# Primary codes of SQLite, and the beginnings of SQLSTATE codes.
_BY_CODE = {
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _AWAY,
    sqlite3.SQLITE_IOERR: _AWAY,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_FULL: _FULL,
}
_BY_STATE = {"25006": _READ_ONLY, "53100": _FULL, "53": _AWAY, "08": _AWAY, "57P": _AWAY, "55P03": _BUSY}


def explained(url: sa.URL, error: SQLAlchemyError) -> str:
    """Give the sentence for an error; advice only where it is known to help."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    advice = _advice(url, error) if isinstance(error, DBAPIError) else None
    shown = url.render_as_string(hide_password=True)
    return f"The store {shown} failed ({reason}){f'; {advice}' if advice else ''}."


def _advice(url: sa.URL, error: DBAPIError) -> str | None:
    if isinstance(error.orig, sqlite3.Error):
        # Of errors that the module itself raises, SQLite knows no code.
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_CANTOPEN and url.database and is_unwritable(url.database):
            return _READ_ONLY
        return _BY_CODE.get(code)
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is None:  # the server said nothing
        return _AWAY if isinstance(error, OperationalError) or error.connection_invalidated else None
    return next((advice for start, advice in _BY_STATE.items() if state.startswith(start)), None)
