"""Stores with many runs, made in bulk: by `executemany` on SQLite, by COPY on PostgreSQL."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from prefect_ml.store import Store, schema

_SOURCE = '{"project": null, "entry_point": "train.py", "commit": null, "dirty": null}'
_TEAMS = ("red", "green", "blue")
_AT_ONCE = 20_000


def make_runs(
    store: Store, count: int, *, params: int = 5, metrics: int = 5, tags: int = 3, experiment: str = "many"
) -> None:
    """Add runs that have ended, each with params `p0`..., metrics `m0`... and tags `t0`....

    `p0` is a number between 0 and 1, `p1` one of ten numbers, `p2` one of three texts, further ones are numbers again.
    Metrics are numbers between 0 and 1. `t0` is one of three teams, `t1` one of a thousand texts, `t2` is "rare" on one
    run in 10,000 and "common" on the others, further ones are teams again. Metrics have summaries, and no points.

    Args:
        store: A store; its writers must be at rest.
        count: How many runs.
        params: Params of each run.
        metrics: Metrics of each run.
        tags: Tags of each run.
        experiment: The experiment of all of them.
    """
    names = [f"{kind}{i}" for kind, number in (("p", params), ("m", metrics), ("t", tags)) for i in range(number)]
    with store.write() as connection:
        ids = store.ids.within(connection).names(names)
        first = (connection.execute(sa.select(sa.func.max(schema.runs.c.seq))).scalar() or 0) + 1
        group = _experiment(connection, experiment)
        for start in range(first, first + count, _AT_ONCE):
            seqs = range(start, min(start + _AT_ONCE, first + count))
            for table, rows in _rows(seqs, group, ids, params, metrics, tags):
                _insert(connection, table, rows)
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT setval(pg_get_serial_sequence('runs', 'seq'), max(seq)) FROM runs"))
    if store.engine.dialect.name == "postgresql":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))  # as the server does by itself after a while


def _rows(
    seqs: range, group: int, ids: Any, params: int, metrics: int, tags: int
) -> Iterator[tuple[sa.Table, list[dict[str, Any]]]]:
    dice = random.Random(seqs.start)
    now = int(time.time() * 1000)
    yield schema.runs, [_run(dice, seq, group, now) for seq in seqs]
    yield (
        schema.attempts,
        [{"run_seq": seq, "number": 1, "status": "Completed", "started_at": now, "ended_at": now} for seq in seqs],
    )
    values = [row for seq in seqs for row in _params(dice, seq, ids, params)]
    numbers = [row for seq in seqs for row in _series(dice, seq, ids, metrics, now)]
    texts = [row for seq in seqs for row in _tags(dice, seq, ids, tags)]
    yield from ((schema.params, values), (schema.series, numbers), (schema.tags, texts))
    yield schema.summaries, _summaries(seqs, ids, values, numbers, texts)


def _run(dice: random.Random, seq: int, group: int, now: int) -> dict[str, Any]:
    begun = now - 10**9 + seq * 500
    return {
        "seq": seq, "id": str(uuid.UUID(int=dice.getrandbits(128))), "experiment_id": group, "superseded": False,
        "name": f"run-{seq}", "status": "Completed", "attempt": 1, "user": "me", "started_at": begun,
        "ended_at": begun + 1000, "heartbeat_at": begun, "artifact_uri": f"/artifacts/{seq}", "source": _SOURCE,
    }  # fmt: skip


def _params(dice: random.Random, seq: int, ids: Any, number: int) -> Iterable[dict[str, Any]]:
    for i in range(number):
        value = (
            str(dice.randrange(10) / 10)
            if i == 1
            else dice.choice(("adam", "sgd", "lion"))
            if i == 2
            else str(dice.random())
        )
        numeric = None if i == 2 else float(value)
        yield {"run_seq": seq, "attempt": 1, "name_id": ids[f"p{i}"], "value": value, "number": numeric}


def _series(dice: random.Random, seq: int, ids: Any, number: int, now: int) -> Iterable[dict[str, Any]]:
    for i in range(number):
        value = dice.random()
        key = {"run_seq": seq, "attempt": 1, "name_id": ids[f"m{i}"], "count": 1, "last_step": 0, "last_at": now}
        yield {**key, "last": value, "min": value, "max": value}


def _tags(dice: random.Random, seq: int, ids: Any, number: int) -> Iterable[dict[str, Any]]:
    for i in range(number):
        texts = (dice.choice(_TEAMS), f"text-{dice.randrange(1000)}", "common" if seq % 10_000 else "rare")
        yield {"run_seq": seq, "name_id": ids[f"t{i}"], "value": texts[i] if i < 3 else texts[0]}


def _summaries(seqs: range, ids: Any, *groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make the summaries that the store writes when runs end."""
    names = {id_: name for name, id_ in ids.items()}
    found: dict[int, list[dict[str, Any]]] = {seq: [{}, {}, {}] for seq in seqs}
    for place, (rows, value) in enumerate(zip(groups, ("value", "last", "value"), strict=True)):
        for row in rows:
            found[row["run_seq"]][place][names[row["name_id"]]] = row[value]
    return [{"run_seq": seq, "content": json.dumps(values)} for seq, values in found.items()]


def _experiment(connection: sa.Connection, name: str) -> int:
    from prefect_ml.store.experiments import experiment_for

    return experiment_for(connection, name)


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    columns = ", ".join(f'"{name}"' for name in rows[0])
    driver: Any = connection.connection.cursor()
    if connection.dialect.name == "postgresql":
        with driver.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(tuple(row.values()))
    else:
        marks = ", ".join("?" * len(rows[0]))
        driver.executemany(
            f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", [tuple(row.values()) for row in rows]
        )
