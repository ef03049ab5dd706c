"""The writes of a run other than points, as the journal holds them, and how each is brought into the database.

An entry is a JSON object with the key `do` and the id of its run. Applying one twice would be harmless for all but its
order, and the journal's mark in the database sees to it that none is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import ParamConflict
from . import schema
from .clock import now_ms
from .interning import Ids
from .journal import Entry
from .records import RunDataset, RunEnvironment
from .upsert import insert_all_new, insert_new, upsert, upsert_all

__all__ = [
    "SHOWN",
    "apply_entry",
    "close_entry",
    "dataset_entry",
    "environment_entry",
    "names_in",
    "params_entry",
    "result_entry",
    "reuse_entry",
    "same_value",
    "source_entry",
    "tags_entry",
    "write_tags",
]

SHOWN = frozenset({"params", "tags", "close"})
"""The kinds of entries that lists of runs show."""
_a, _r, _p = schema.attempts.c, schema.runs.c, schema.params.c
_AT = sa.bindparam("at", type_=sa.BigInteger())
# Clocks differ between machines, but no run ends before it began.
_CLOSE_ATTEMPT = (
    sa.update(schema.attempts)
    .where(_a.run_seq == sa.bindparam("run"), _a.number == sa.bindparam("of"))
    .values(
        status=sa.bindparam("to"),
        ended_at=sa.case((_a.started_at > _AT, _a.started_at), else_=_AT),
        error=sa.bindparam("why"),
    )
)
_CLOSE_RUN = (
    sa.update(schema.runs)
    .where(_r.seq == sa.bindparam("run"), _r.attempt == sa.bindparam("of"))
    .values(status=sa.bindparam("to"), ended_at=sa.case((_r.started_at > _AT, _r.started_at), else_=_AT))
)
_PARAMS = sa.select(_p.name_id, _p.value).where(_p.run_seq == sa.bindparam("run"), _p.attempt == sa.bindparam("of"))


def params_entry(run_id: str, attempt: int, values: Mapping[str, str]) -> Entry:
    """Write params of an attempt: all of them, or none where one has another value already."""
    return {"do": "params", "run": run_id, "attempt": attempt, "values": dict(values)}


def tags_entry(run_id: str, values: Mapping[str, str]) -> Entry:
    """Set tags; the last value wins."""
    return {"do": "tags", "run": run_id, "values": dict(values)}


def source_entry(run_id: str, source: Mapping[str, Any]) -> Entry:
    """Record where the code of a run came from."""
    return {"do": "source", "run": run_id, "source": dict(source)}


def dataset_entry(run_id: str, attempt: int, dataset: RunDataset) -> Entry:
    """Record that an attempt has used a dataset."""
    record: dict[str, Any] = {
        "name": dataset.name,
        "digest": dataset.digest,
        "kind": dataset.kind,
        "source": dataset.source,
        "rows": dataset.rows,
        "schema": [list(column) for column in dataset.schema],
    }
    return {"do": "dataset", "run": run_id, "attempt": attempt, "role": dataset.role, "dataset": record}


def environment_entry(run_id: str, environment: RunEnvironment) -> Entry:
    """Record which software a run runs with."""
    record = {"digest": environment.digest, "python": environment.python, "platform": environment.platform}
    return {
        "do": "environment",
        "run": run_id,
        "environment": {**record, "packages": dict(environment.packages)},
    }


def close_entry(run_id: str, attempt: int, status: str, *, at: int, error: str | None) -> Entry:
    """Give an attempt its final status; one that a later attempt has replaced only closes itself.

    Args:
        run_id: The run.
        attempt: Its attempt.
        status: The final status.
        at: When it ended, in milliseconds since 1970 by the database's clock.
        error: What it failed with.
    """
    return {"do": "close", "run": run_id, "attempt": attempt, "status": status, "at": at, "error": error}


def result_entry(run_id: str, key: str) -> Entry:
    """Record that Prefect keeps what a run has produced under this key."""
    return {"do": "result", "run": run_id, "under": key}


def reuse_entry(parent_id: str, task_run_id: str, path: str, name: str) -> Entry:
    """Record that a task run below a run has taken from Prefect's cache what lies at a path that ends with its key."""
    return {"do": "reuse", "run": parent_id, "task_run": task_run_id, "at": path, "name": name}


def names_in(entry: Entry) -> Iterable[str]:
    """Give the names of params or tags that an entry writes."""
    return entry.get("values", {}).keys()


def apply_entry(connection: Connection, ids: Ids, entry: Entry) -> ParamConflict | None:
    """Bring one entry into the database; what belongs to a run that does not exist any more is dropped.

    Returns:
        The conflict for which params were refused, if any.
    """
    seq = ids.runs([entry["run"]]).get(entry["run"])
    return None if seq is None else _APPLY[entry["do"]](connection, ids, seq, entry)


def same_value(one: str, other: str) -> bool:
    """Whether two texts of a param say the same: 0.10 is 0.1, as a caller writes it and as its program logs it."""
    if one == other:
        return True
    number = _number(one)
    return number is not None and number == _number(other)


def write_tags(connection: Connection, ids: Ids, seq: int, values: Mapping[str, str]) -> None:
    """Set tags of a run in an open transaction."""
    if not values:
        return
    names = ids.names(values)
    # In one order, so that writers do not wait for each other in a circle.
    rows = [{"run_seq": seq, "name_id": names[name], "value": values[name]} for name in sorted(values)]
    upsert_all(connection, schema.tags, ("run_seq", "name_id"), rows)


def _params(connection: Connection, ids: Ids, seq: int, entry: Entry) -> ParamConflict | None:
    values: dict[str, str] = entry["values"]
    names = ids.names(values)
    found = connection.execute(_PARAMS, {"run": seq, "of": entry["attempt"]})
    old: dict[int, str] = dict(found.tuples().all())
    for name, value in values.items():
        if not same_value(old.get(names[name], value), value):
            return ParamConflict(entry["run"], name, old[names[name]], value)
    key = {"run_seq": seq, "attempt": entry["attempt"]}
    rows = [
        {**key, "name_id": names[name], "value": value, "number": _number(value)}
        for name, value in sorted(values.items())
    ]
    if rows:
        insert_all_new(connection, schema.params, rows)
    return None


def _tags(connection: Connection, ids: Ids, seq: int, entry: Entry) -> None:
    write_tags(connection, ids, seq, entry["values"])


def _source(connection: Connection, _: Ids, seq: int, entry: Entry) -> None:
    connection.execute(sa.update(schema.runs).where(schema.runs.c.seq == seq).values(source=entry["source"]))


def _dataset(connection: Connection, _: Ids, seq: int, entry: Entry) -> None:
    record: dict[str, Any] = entry["dataset"]
    table = schema.datasets
    insert_new(connection, table, {**record, "created_at": now_ms()})
    query = sa.select(table.c.id).where(table.c.name == record["name"], table.c.digest == record["digest"])
    used = {"run_seq": seq, "attempt": entry["attempt"], "role": entry["role"]}
    insert_new(connection, schema.run_datasets, {**used, "dataset_id": connection.execute(query).scalar_one()})


def _environment(connection: Connection, _: Ids, seq: int, entry: Entry) -> None:
    insert_new(connection, schema.environments, entry["environment"])
    connection.execute(
        sa.update(schema.runs).where(schema.runs.c.seq == seq).values(environment=entry["environment"]["digest"])
    )


def _close(connection: Connection, _: Ids, seq: int, entry: Entry) -> None:
    row = {"run": seq, "of": entry["attempt"], "to": entry["status"], "at": entry["at"]}
    connection.execute(_CLOSE_ATTEMPT, {**row, "why": entry["error"]})
    connection.execute(_CLOSE_RUN, row)


def _result(connection: Connection, _: Ids, _seq: int, entry: Entry) -> None:
    upsert(connection, schema.results, {"key": entry["under"]}, {"run_id": entry["run"], "at": now_ms()})


def _reuse(connection: Connection, _: Ids, _seq: int, entry: Entry) -> None:
    parts = str(entry["at"]).split("/")
    keys = schema.results.c.key
    query = sa.select(schema.results.c.run_id).where(keys.in_(["/".join(parts[n:]) for n in range(len(parts))]))
    producer = connection.execute(query.order_by(sa.func.length(keys).desc())).scalar()
    if producer is None:  # it was not tracked
        return
    row = {"task_run_id": entry["task_run"], "parent_id": entry["run"], "run_id": producer, "name": entry["name"]}
    insert_new(connection, schema.reuses, {**row, "at": now_ms()})
    _adopt(connection, producer, entry["run"])


def _adopt(connection: Connection, run_id: str, parent_id: str) -> None:
    """Where an attempt of a flow has reused what an earlier one has made, that is superseded no more."""
    parent = sa.select(_r.attempt).where(_r.id == parent_id).scalar_subquery()
    mine = sa.and_(_r.id == run_id, _r.parent_id == parent_id, _r.superseded)
    if connection.execute(sa.update(schema.runs).where(mine).values(superseded=False, parent_attempt=parent)).rowcount:
        below = sa.select(_r.id, _r.attempt).where(_r.id == run_id).cte("below", recursive=True)
        children = sa.and_(_r.parent_id == below.c.id, _r.parent_attempt == below.c.attempt)
        below = below.union(sa.select(_r.id, _r.attempt).join_from(schema.runs, below, children))
        connection.execute(sa.update(schema.runs).where(_r.id.in_(sa.select(below.c.id))).values(superseded=False))


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return None if math.isnan(number) else number  # NaN matches no comparison


_APPLY: dict[str, Callable[[Connection, Ids, int, Entry], ParamConflict | None]] = {
    "params": _params,
    "tags": _tags,
    "source": _source,
    "dataset": _dataset,
    "environment": _environment,
    "close": _close,
    "result": _result,
    "reuse": _reuse,
}
