"""Experiments: named groups of runs."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import schema
from .clock import now_ms
from .upsert import insert_new

__all__ = ["experiment_for"]

_e = schema.experiments.c


def experiment_for(connection: Connection, name: str) -> int:
    """Give the id of the experiment that bears this name now, made where there is none."""
    query = sa.select(_e.id).where(_e.name == name, _e.deleted_at.is_(None))
    found = connection.execute(query).scalar()
    if found is None:
        insert_new(connection, schema.experiments, {"name": name, "created_at": now_ms()})
        found = connection.execute(query).scalar_one()
    return int(found)
