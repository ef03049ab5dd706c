"""Reading runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import ExperimentNotFound, FilterError, RunNotFound, TrackingError
from . import schema
from .clock import now_ms
from .engine import Store, current_store
from .filters.parse import parse_column, parse_filter
from .filters.run_fields import names_of, run_fields
from .filters.syntax import Expression, Name, names_in
from .loading import columns_of, load_runs
from .names import normal_name
from .ordering import Term, pack_token, parse_terms, unpack_token
from .records import Run
from .results import RunList
from .searching import Search, count, find
from .values import Wanted, name_ids
from .writers import flush_pending

__all__ = ["count_runs", "error_of", "get_run", "search_runs"]

_r = schema.runs.c
_e = schema.experiments.c
_NEWEST_FIRST = ("started_at desc",)


def get_run(run_id: str, *, attempt: int | None = None, store: Store | None = None) -> Run:
    """Give one run with its params, last metrics and tags; a deleted one, too.

    Args:
        run_id: The run.
        attempt: An earlier attempt, as it was: its params, metrics, status and times; the latest by default.
        store: Another store than the one that the settings name.

    Raises:
        RunNotFound: No run has this id.
        TrackingError: It has no such attempt.
    """
    store = current_store(store)
    flush_pending(store)
    everything = Wanted(None, {})
    columns = columns_of(everything)
    query = sa.select(*columns, _e.name.label("experiment"), now_ms().label("now"))
    with store.read() as connection:
        query = query.join_from(schema.runs, schema.experiments).where(_r.id == run_id)
        row: Any = connection.execute(query).first()
        if row is None:
            raise RunNotFound(run_id)
        experiments = {row.experiment_id: row.experiment}
        run = dict(row._mapping)
        if attempt is not None and attempt != row.attempt:
            run |= _earlier(connection, row, attempt)
        fields = tuple(run.values())[: len(columns)]
        return load_runs(connection, [fields], experiments, row.now, everything)[0]


def _earlier(connection: Connection, row: Any, attempt: int) -> dict[str, Any]:
    """Give what differs in an earlier attempt of a run."""
    a = schema.attempts.c
    query = sa.select(a.status, a.started_at, a.ended_at).where(a.run_seq == row.seq, a.number == attempt)
    found: Any = connection.execute(query).first()
    if found is None:
        raise TrackingError(f"Run {row.id} has no attempt {attempt}; its latest is attempt {row.attempt}.")
    # One that never ended was replaced while it was open: nobody hears of it any more.
    return {
        **found._mapping,
        "attempt": attempt,
        "heartbeat_at": 0,
        "artifact_uri": row.artifact_uri.removesuffix(f"/{row.attempt}") + f"/{attempt}",
    }


def error_of(run_id: str, *, store: Store | None = None) -> str | None:
    """Give what the last attempt of a run failed with; None where it did not fail, or nobody said.

    Raises:
        RunNotFound: No run has this id.
    """
    store = current_store(store)
    flush_pending(store)
    a = schema.attempts.c
    query = sa.select(a.error).join_from(schema.attempts, schema.runs, _r.seq == a.run_seq)
    with store.read() as connection:
        row = connection.execute(query.where(_r.id == run_id, a.number == _r.attempt)).first()
    if row is None:
        raise RunNotFound(run_id)
    return row.error


def search_runs(  # noqa: PLR0913 - all but the first by name
    filter: str = "",  # noqa: A002 - the contract's name
    *,
    experiments: Iterable[str] | None = None,
    order_by: Sequence[str] = (),
    limit: int = 100,
    page_token: str | None = None,
    columns: Sequence[str] | None = None,
    deleted: bool = False,
    superseded: bool = False,
    store: Store | None = None,
) -> RunList:
    """Give the runs that a filter matches, newest first unless ordered otherwise.

    Args:
        filter: For instance `metrics.rmse < 0.8 and params.alpha >= 0.1`; the empty text means all.
        experiments: Names of experiments; None means all.
        order_by: Fields, each with an optional ` desc`; NaN and missing values sort last.
        limit: The most runs to give.
        page_token: The `next_page_token` of the page before, to go on behind it.
        columns: Fields to read, such as `params.alpha`, `metrics.rmse` and `name`: no other params, metrics and tags
            are read. All by default.
        deleted: Give deleted runs instead, those of deleted experiments among them.
        superseded: Give also the children of earlier attempts.
        store: Another store than the one that the settings name.

    Raises:
        FilterError: The filter, an order, a column or the page token is wrong.
        ExperimentNotFound: There is no such experiment.
    """
    if limit < 1:
        raise FilterError(f"The limit must be 1 or more, not {limit}.")
    asked = _asked(filter, experiments, order_by or _NEWEST_FIRST, deleted=deleted, superseded=superseded)
    names = None if columns is None else tuple(parse_column(text) for text in columns)
    place = None if page_token is None else unpack_token(asked.identity, page_token, len(asked.terms))
    store = current_store(store)
    flush_pending(store)
    with store.read() as connection:
        known = _Known.read(connection)
        ids = name_ids(connection, store.ids.names, names_of([*asked.names(), *(names or ())]))
        search = asked.search(known, ids)
        _check_columns(names, search)
        wanted = Wanted(names, ids)
        rows, last = find(connection, search, columns_of(wanted), limit, place)
        runs = load_runs(connection, rows, known.experiments, known.now, wanted)
    token = None if last is None else pack_token(asked.identity, last)
    return RunList(runs, next_page_token=token, columns=columns)


def count_runs(
    filter: str = "",  # noqa: A002 - as in search_runs
    *,
    experiments: Iterable[str] | None = None,
    deleted: bool = False,
    superseded: bool = False,
    store: Store | None = None,
) -> int:
    """Count the runs that `search_runs` would give without a limit.

    Raises:
        FilterError: The filter is wrong.
        ExperimentNotFound: There is no such experiment.
    """
    asked = _asked(filter, experiments, _NEWEST_FIRST, deleted=deleted, superseded=superseded)
    store = current_store(store)
    flush_pending(store)
    with store.read() as connection:
        known = _Known.read(connection)
        ids = name_ids(connection, store.ids.names, names_of(asked.names()))
        return count(connection, asked.search(known, ids))


@dataclass(frozen=True)
class _Known:
    """What every search wants to know first.

    Attributes:
        now: The database's time, in milliseconds since 1970.
        experiments: Name of each experiment by its id.
        gone: Ids of those that are deleted.
    """

    now: int
    experiments: dict[int, str]
    gone: frozenset[int]

    @staticmethod
    def read(connection: Connection) -> _Known:
        if connection.dialect.name == "postgresql":
            # Each search is another statement: planned for its own values, and not worth a compiler.
            connection.execute(
                sa.text(
                    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true)"
                )
            )
        now = connection.execute(sa.select(now_ms())).scalar_one()
        rows = connection.execute(sa.select(_e.id, _e.name, _e.deleted_at)).tuples().all()
        gone = frozenset(number for number, _, deleted_at in rows if deleted_at is not None)
        return _Known(now, {number: name for number, name, _ in rows}, gone)

    def named(self, names: Iterable[str], *, deleted: bool) -> tuple[int, ...]:
        """Give the ids of experiments; the name of a deleted one may be borne by several."""
        found: list[int] = []
        for name in names:
            ids = [n for n, one in self.experiments.items() if one == name and (deleted or n not in self.gone)]
            if not ids:
                raise ExperimentNotFound(name)
            found += ids
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class _Asked:
    """A search as it was asked for, parsed."""

    text: str
    filter: Expression | None
    experiments: tuple[str, ...] | None
    terms: tuple[Term, ...]
    deleted: bool
    superseded: bool

    @property
    def identity(self) -> object:
        """What a page token belongs to."""
        order = [(term.name.key, term.descending) for term in self.terms]
        return self.text.strip(), self.experiments, order, self.deleted, self.superseded

    def names(self) -> list[Name]:
        return [*names_in(self.filter), *(term.name for term in self.terms)]

    def search(self, known: _Known, ids: dict[str, int]) -> Search:
        experiments = None if self.experiments is None else known.named(self.experiments, deleted=self.deleted)
        base = [*_visibility(known, deleted=self.deleted), *([] if self.superseded else [_r.superseded.is_(False)])]
        search = Search(tuple(base), experiments, self.filter, self.text, self.terms, run_fields(ids, known.now))
        search.check()
        return search


def _asked(
    text: str, experiments: Iterable[str] | None, order_by: Sequence[str], *, deleted: bool, superseded: bool
) -> _Asked:
    if isinstance(experiments, str):
        raise FilterError(f"experiments is a list of names, such as [{experiments!r}].")
    named = None if experiments is None else tuple(map(normal_name, experiments))
    return _Asked(text, parse_filter(text), named, parse_terms(order_by), deleted, superseded)


def _visibility(known: _Known, *, deleted: bool) -> list[sa.ColumnElement[bool]]:
    gone = _r.experiment_id.in_(sorted(known.gone))
    if deleted:
        return [sa.or_(_r.deleted_at.is_not(None), gone)]
    return [_r.deleted_at.is_(None), *([sa.not_(gone)] if known.gone else [])]


def _check_columns(names: tuple[Name, ...] | None, search: Search) -> None:
    for name in names or ():
        try:
            search.fields.find(name)
        except KeyError:
            known = ", ".join(search.fields.names())
            raise FilterError(f"There is no column {name.text!r}; the columns are {known}") from None
        if name.group == "datasets" or (name.name in ("note", "superseded") and not name.group):
            raise FilterError(f"{name.text} cannot be a column of a result; filter by it instead")
