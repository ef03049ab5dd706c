"""Alembic migrations; one file per released change of the schema."""

from __future__ import annotations

__all__ = ["HEAD", "REVISIONS"]

# Written out, so that opening a store does not have to import Alembic; a test compares them with the files.
REVISIONS = ("0001", "0002", "0003", "0004")
HEAD = REVISIONS[-1]
