"""Interned names and the numbers of runs: what every transaction asks for, remembered once it is committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import schema
from .upsert import insert_new

__all__ = ["Ids", "IdsCache"]

_AT_ONCE = 500  # databases bound the number of parameters of one statement


class IdsCache:
    """Ids that are known to be in the database; one per open store."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.runs: dict[str, int] = {}

    def within(self, connection: Connection) -> Ids:
        """Look ids up in a transaction; call `keep` on the answer when it is committed."""
        return Ids(self, connection)

    def clear(self) -> None:
        """Forget everything, for instance because runs were removed."""
        self.names, self.runs = {}, {}


class Ids:
    """The ids as one transaction sees them."""

    def __init__(self, cache: IdsCache, connection: Connection) -> None:
        self._cache = cache
        self._known_names, self._known_runs = cache.names, cache.runs  # as they are now: another thread may clear them
        self._connection = connection
        self._names: dict[str, int] = {}
        self._runs: dict[str, int] = {}

    def keep(self) -> None:
        """Remember what was found: the transaction is committed."""
        self._cache.names.update(self._names)
        self._cache.runs.update(self._runs)

    def names(self, names: Iterable[str]) -> Mapping[str, int]:
        """Give the id of each name; a new one is interned."""
        wanted = set(names)
        if missing := wanted - self._known_names.keys() - self._names.keys():
            self._find_names(missing)
            for name in sorted(missing - self._names.keys()):  # in one order, so that writers do not wait in a circle
                insert_new(self._connection, schema.names, {"name": name})
            self._find_names(missing - self._names.keys())
        return {name: self._known_names.get(name) or self._names[name] for name in wanted}

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, int]:
        """Give the number of each run that exists."""
        wanted = set(run_ids)
        table = schema.runs.c
        missing = sorted(wanted - self._known_runs.keys() - self._runs.keys())
        for start in range(0, len(missing), _AT_ONCE):
            query = sa.select(table.id, table.seq).where(table.id.in_(missing[start : start + _AT_ONCE]))
            self._runs.update((row.id, row.seq) for row in self._connection.execute(query))
        found = {run_id: self._known_runs.get(run_id) or self._runs.get(run_id) for run_id in wanted}
        return {run_id: seq for run_id, seq in found.items() if seq is not None}

    def add_run(self, run_id: str, seq: int) -> None:
        """Take note of a run that this transaction has made."""
        self._runs[run_id] = seq

    def _find_names(self, names: set[str]) -> None:
        wanted = sorted(names)
        table = schema.names.c
        for start in range(0, len(wanted), _AT_ONCE):
            query = sa.select(table.name, table.id).where(table.name.in_(wanted[start : start + _AT_ONCE]))
            self._names.update((row.name, row.id) for row in self._connection.execute(query))
