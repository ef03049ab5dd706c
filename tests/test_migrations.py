"""Upgrading stores of every released revision, with data in them."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from prefect_ml import (
    get_model_version,
    get_run,
    log_metric,
    log_params,
    metric_history,
    model_history,
    search_runs,
    start_run,
)
from prefect_ml.errors import ExperimentNotFound, StoreError
from prefect_ml.settings import load_settings
from prefect_ml.store import Store, open_store
from prefect_ml.store.engine import connect_store
from prefect_ml.store.models import find_logged_model
from prefect_ml.store.upgrade import ensure_schema, upgrade_store

both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
BEGUN = 1_700_000_000_000
PARENT, CHILD, RETRIED, DELETED = "parent", "child", "retried", "deleted"
# Of the first release: steps and times as differences, then values, each column deflated.
STEPS, TIMES = [0, 1, 2, 5], [BEGUN, BEGUN + 10, BEGUN + 20, BEGUN + 15]
VALUES = [1.5, math.nan, math.inf, -2.0]


def segment_of_0001(steps: list[int], times: list[int], values: list[float]) -> bytes:
    columns = [
        struct.pack(f"<{len(steps)}q", *np.diff(steps, prepend=0)),
        struct.pack(f"<{len(times)}q", *np.diff(times, prepend=0)),
        struct.pack(f"<{len(values)}d", *values),
    ]
    packed = [zlib.compress(column, 1) for column in columns]
    return b"\x01" + struct.pack("<4I", len(steps), *map(len, packed)) + b"".join(packed)


def run_row(run_id: str, **changes: Any) -> dict[str, Any]:
    source = {"project": "p", "entry_point": "train.py", "commit": "c0ffee", "dirty": True}
    return {
        "id": run_id,
        "experiment_id": 1,
        "parent_id": None,
        "name": run_id,
        "status": "Completed",
        "attempt": 1,
        "user": "me",
        "started_at": BEGUN,
        "ended_at": BEGUN + 1000,
        "heartbeat_at": BEGUN,
        "artifact_uri": f"/artifacts/{run_id}",
        "source": json.dumps(source),
        "flow_run_id": "flow",
        "task_run_id": None,
        "deleted_at": None,
        **changes,
    }


def fill_0001(connection: sa.Connection) -> None:
    def insert(table: str, *rows: dict[str, Any]) -> None:
        names = ", ".join(f'"{name}"' for name in rows[0])
        marks = ", ".join(f":{name}" for name in rows[0])
        connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), rows)

    insert(
        "experiments",
        {"id": 1, "name": "wine", "created_at": BEGUN, "deleted_at": None},
        {"id": 2, "name": "gone", "created_at": BEGUN, "deleted_at": BEGUN},
    )
    insert("names", *({"id": i, "name": name} for i, name in enumerate(["loss", "alpha", "team", "Ümlaut"], 1)))
    insert(
        "runs",
        run_row(PARENT, started_at=BEGUN + 1),
        run_row(CHILD, parent_id=PARENT),
        run_row(RETRIED, attempt=2, status="Failed", started_at=BEGUN + 2),
        run_row(DELETED, deleted_at=BEGUN),
    )
    attempts = [(PARENT, 1), (CHILD, 1), (RETRIED, 1), (RETRIED, 2), (DELETED, 1)]
    insert(
        "attempts",
        *(
            {
                "run_id": r,
                "number": n,
                "status": "Failed" if r == RETRIED else "Completed",
                "started_at": BEGUN,
                "ended_at": BEGUN + 5,
                "error": "boom" if n == 1 else None,
            }
            for r, n in attempts
        ),
    )
    insert(
        "params", *({"run_id": r, "attempt": n, "name_id": 2, "value": f"0.{n}", "number": n / 10} for r, n in attempts)
    )
    insert(
        "tags", {"run_id": PARENT, "name_id": 3, "value": "red"}, {"run_id": CHILD, "name_id": 4, "value": "é" * 300}
    )
    summary = {"name_id": 1, "last_step": 5, "last_at": TIMES[-1], "last": -2.0, "min": -2.0, "max": math.inf}
    insert(
        "series",
        {"id": 7, "run_id": PARENT, "attempt": 1, "count": 8, **summary},
        {"id": 8, "run_id": RETRIED, "attempt": 2, "count": 4, **summary},
    )
    data = segment_of_0001(STEPS, TIMES, VALUES)
    later = segment_of_0001([9, 8, 7, 6], TIMES, [4.0, 3.0, 2.0, 1.0])
    insert(
        "segments",
        {"id": 1, "series_id": 7, "count": 4, "data": data},
        {"id": 2, "series_id": 8, "count": 4, "data": data},
        {"id": 3, "series_id": 7, "count": 4, "data": later},
    )
    insert("journals", {"id": "j", "applied": 100, "updated_at": BEGUN})
    insert(
        "logged_models",
        {
            "run_id": PARENT,
            "attempt": 1,
            "path": "model",
            "uri": "/m",
            "digest": "d1",
            "flavor": "sklearn",
            "created_at": BEGUN,
        },
    )
    insert(
        "registered_models", {"name": "wine", "description": "", "created_at": BEGUN, "created_by": "me", "versions": 1}
    )
    insert(
        "model_versions",
        {
            "name": "wine",
            "version": 1,
            "status": "Ready",
            "run_id": PARENT,
            "source": "s",
            "uri": "/m",
            "digest": "d1",
            "description": "",
            "tags": "{}",
            "created_at": BEGUN,
            "created_by": "me",
        },
    )
    insert(
        "model_events",
        {
            "id": "e1",
            "name": "wine",
            "seq": 1,
            "kind": "promoted",
            "version": 1,
            "from_stage": "None",
            "to_stage": "Production",
            "actor": "me",
            "reason": "",
            "evidence": "{}",
            "at": BEGUN,
            "flow_run_id": None,
        },
    )
    insert("stage_holders", {"name": "wine", "version": 1, "stage": "Production", "exclusive": True, "event_id": "e1"})


def store_of(revision: str) -> Store:
    """Make an empty store as a release of that revision did."""
    store = connect_store(load_settings())
    config = Config()
    config.set_main_option("script_location", "prefect_ml.store:migrations")
    config.set_main_option("path_separator", "os")
    with store.migrating() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return store


@pytest.fixture
def old(home: Path) -> Store:
    store = store_of("0001")
    with store.write() as connection:
        fill_0001(connection)
    return store


def definitions(store: Store) -> dict[str, Any]:
    """Give everything that the database itself knows of its schema."""
    with store.read() as connection:
        if connection.dialect.name == "sqlite":
            return _sqlite_definitions(connection)
        indices = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        constraints = """SELECT conname, conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace"""
        columns = """SELECT table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, collation_name,
            column_default) FROM information_schema.columns WHERE table_schema = 'public'"""
        return {
            name: text for query in (indices, constraints, columns) for name, text in connection.execute(sa.text(query))
        }


def _sqlite_definitions(connection: sa.Connection) -> dict[str, Any]:
    found: dict[str, Any] = {}
    tables = connection.execute(sa.text("SELECT name, wr FROM pragma_table_list WHERE schema = 'main'")).all()
    for table, without_rowid in tables:
        if table.startswith("sqlite_"):
            continue
        found[table] = without_rowid
        for pragma in ("table_xinfo", "foreign_key_list"):
            rows = connection.exec_driver_sql(f"PRAGMA {pragma}({table})").all()
            found[f"{table} {pragma}"] = sorted(
                (tuple(row[1:]) if pragma == "table_xinfo" else tuple(row[2:]) for row in rows), key=str
            )
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    found.update({name: " ".join(text.split()).lower() for name, text in connection.execute(sa.text(query))})
    return found


@both_databases
def test_everything_of_the_first_release_is_there_after_an_upgrade(old: Store, home: Path) -> None:
    with pytest.raises(StoreError, match="store upgrade"):
        open_store()
    assert upgrade_store(old) == upgrade_store(old)
    open_store()
    assert [run.id for run in search_runs()] == [RETRIED, PARENT, CHILD]
    parent, child, retried = get_run(PARENT), get_run(CHILD), get_run(RETRIED)
    assert (parent.params, parent.tags, parent.metrics) == ({"alpha": "0.1"}, {"team": "red"}, {"loss": -2.0})
    assert (parent.source.commit, parent.source.dirty, parent.flow_run_id) == ("c0ffee", True, "flow")
    assert (child.parent_id, child.tags) == (PARENT, {"Ümlaut": "é" * 300})
    assert (retried.attempt, retried.status, retried.params) == (2, "Failed", {"alpha": "0.2"})
    assert [run.id for run in search_runs(deleted=True)] == [DELETED]
    assert [run.id for run in search_runs("tags.team = 'red' and params.alpha = 0.1 and metrics.loss < 0")] == [PARENT]
    history = metric_history(RETRIED, "loss")
    np.testing.assert_array_equal(history.values, VALUES)
    assert (history.steps.tolist(), history.timestamps.tolist()) == (STEPS, TIMES)
    assert metric_history(PARENT, "loss").steps.tolist() == [0, 1, 2, 5, 6, 7, 8, 9]
    assert find_logged_model(PARENT, "model").digest == "d1"
    version = get_model_version("wine", "Production")
    assert (version.version, version.run_id, [event.kind for event in model_history("wine")]) == (
        1,
        PARENT,
        ["promoted"],
    )
    with pytest.raises(ExperimentNotFound):
        search_runs(experiments=["gone"])


@both_databases
def test_an_upgraded_store_takes_writes(old: Store) -> None:
    upgrade_store(old)
    with start_run(experiment="gone", name="new") as run:
        log_params({"alpha": 1, "beta": 2})
        log_metric("loss", 0.5)
    with start_run(experiment="wine", name="other"):
        pass
    assert get_run(run.id).params == {"alpha": "1", "beta": "2"}
    assert [found.name for found in search_runs(order_by=["metrics.loss"])][:3] == [PARENT, RETRIED, "new"]


@both_databases
def test_an_upgraded_schema_is_that_of_a_new_store(
    old: Store, tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    upgrade_store(old)
    url = request.getfixturevalue("postgresql")() if database == "postgresql" else f"sqlite:///{tmp_path}/new.db"
    new = open_store(load_settings(store_url=url))
    assert definitions(old) == definitions(new)
    new.engine.dispose()


@both_databases
def test_two_machines_upgrade_at_once(old: Store) -> None:
    call = [sys.executable, "-m", "prefect_ml.cli", "store", "upgrade"]
    both = [subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [child.communicate(timeout=120) for child in both]
    assert [child.returncode for child in both] == [0, 0], answers
    assert get_run(PARENT).params == {"alpha": "0.1"}


@both_databases
def test_an_upgrade_that_fails_leaves_the_store_as_it_was(old: Store) -> None:
    with old.write() as connection:
        connection.execute(sa.text("UPDATE segments SET data = :data WHERE id = 3"), {"data": b"\x01torn"})
    with pytest.raises(struct.error):
        upgrade_store(old)
    with old.read() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "0001"
        assert connection.execute(sa.text("SELECT count(*) FROM segments")).scalar() == 3


@both_databases
@pytest.mark.parametrize("through", ["ensure", "upgrade"])
def test_a_store_newer_than_the_code_is_refused(store: Store, through: str) -> None:
    with store.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    act: dict[str, Callable[[Store], object]] = {"ensure": ensure_schema, "upgrade": upgrade_store}
    with pytest.raises(StoreError, match="newer prefect-ml"):
        act[through](store)
