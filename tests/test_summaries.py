"""Lists of runs that have ended are read from summaries, and show just what the runs themselves show."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy as sa

from prefect_ml import (
    get_run,
    log_metric,
    log_metrics,
    log_params,
    search_runs,
    set_tags,
    start_run,
)
from prefect_ml.store import Store, schema
from prefect_ml.store.checking import check_store

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
MANY = 25  # shorter lists are read value by value


def make_many(count: int = MANY) -> list[str]:
    made: list[str] = []
    for number in range(count):
        with start_run(name=f"run-{number}") as run:
            log_params({"alpha": number / 10, "kind": "für"})
            log_metrics({"loss": 1 / (number + 1), "rmse": 0.1})
            log_metric("loss", number / 7, step=5)
            set_tags({"team": "red"})
        made.append(run.id)
    return made


def summaries(store: Store) -> int:
    with store.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(schema.summaries)).scalar_one()


def shown(columns: list[str] | None = None) -> dict[str, Any]:
    found = search_runs(limit=1000, columns=columns)
    assert len(found) >= MANY
    return {run.id: (dict(run.params), dict(run.metrics), dict(run.tags), run.status) for run in found}


def as_they_are() -> dict[str, Any]:
    runs = [get_run(run.id) for run in search_runs(limit=1000)]
    return {run.id: (dict(run.params), dict(run.metrics), dict(run.tags), run.status) for run in runs}


def test_a_list_shows_what_each_run_shows(store: Store) -> None:
    ids = make_many()
    assert summaries(store) == MANY
    assert shown() == as_they_are()
    assert shown()[ids[3]][:2] == ({"alpha": "0.3", "kind": "für"}, {"loss": 3 / 7, "rmse": 0.1})


def test_columns_are_picked_from_summaries(store: Store) -> None:
    (first, *_) = make_many()
    assert shown(["params.kind", "metrics.rmse", "tags.none"])[first] == (
        {"kind": "für"},
        {"rmse": 0.1},
        {},
        "Completed",
    )
    assert shown(["metrics.loss.min"])[first][1] == {"loss.min": 0.0}


def test_what_changes_after_the_end_is_shown(store: Store) -> None:
    first, second, *_ = make_many()
    with start_run(run_id=first, resume=True):
        set_tags({"team": "blue", "best": "yes"})
    with start_run(run_id=second, resume=True):
        assert summaries(store) == MANY - 1
        log_metric("loss", 99.0, step=9)
    assert shown() == as_they_are()
    assert shown()[first][2] == {"team": "blue", "best": "yes"}
    assert shown()[second][1]["loss"] == 99.0
    assert summaries(store) == MANY


def test_numbers_that_json_does_not_know_and_much_are_read_value_by_value(store: Store) -> None:
    make_many()
    with start_run() as odd:
        log_metrics({"nan": math.nan, "inf": -math.inf})
    with start_run() as wide:
        log_params({f"p{number}": number for number in range(300)})
    with start_run() as long:
        log_params({"text": "x" * 100_000})
    assert summaries(store) == MANY
    found = shown()
    assert math.isnan(found[odd.id][1]["nan"])
    assert found[odd.id][1]["inf"] == -math.inf
    assert len(found[wide.id][0]) == 300
    assert len(found[long.id][0]["text"]) == 100_000


RANK = """
import sys
from prefect_ml import log_metric, start_run
with start_run(run_id=sys.argv[1]):
    print("joined", flush=True)
    sys.stdin.readline()
    for step in range(2000):
        log_metric(f"rank{sys.argv[2]}", step, step=step)
"""


def test_the_last_of_several_processes_sees_what_all_have_written(store: Store) -> None:
    make_many()
    with start_run() as run:
        ranks = [
            subprocess.Popen([sys.executable, "-c", RANK, run.id, str(n)], stdin=-1, stdout=-1, text=True)
            for n in range(4)
        ]
        for rank in ranks:
            assert rank.stdout
            assert rank.stdout.readline() == "joined\n"
        for rank in ranks:
            assert rank.stdin
            rank.stdin.write("go\n")
            rank.stdin.flush()
    assert [rank.wait(60) for rank in ranks] == [0] * 4
    assert shown()[run.id][1] == {f"rank{n}": 1999.0 for n in range(4)}
    assert summaries(store) == MANY + 1
    assert check_store() == []


def test_a_check_finds_a_summary_that_is_wrong(store: Store) -> None:
    first, *_ = make_many(2)
    with store.write() as connection:
        connection.execute(sa.update(schema.summaries).values(content='[{"alpha": "9"}, {}, {}]'))
    assert first in {problem.what for problem in check_store() if problem.kind == "run"}
