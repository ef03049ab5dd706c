"""The store: schema, migrations, series, journal, filters."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from prefect_ml import get_run, log_metric, metric_history, search_runs, start_run
from prefect_ml.errors import RunNotFound, SettingsError, StoreError, TrackingError
from prefect_ml.settings import load_settings
from prefect_ml.store import Store, open_store, recover
from prefect_ml.store.migrations import HEAD, REVISIONS
from prefect_ml.store.schema import metadata

both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@both_databases
def test_migrations_give_exactly_the_schema(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_revisions_written_out_are_those_of_the_files() -> None:
    config = Config()
    config.set_main_option("script_location", "prefect_ml.store:migrations")
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert [r.revision for r in reversed(list(script.walk_revisions()))] == list(REVISIONS)
    assert script.get_current_head() == HEAD


def test_sqlite_keeps_foreign_keys_and_a_write_ahead_log(store: Store) -> None:
    with store.read() as connection:
        assert connection.execute(sa.text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
    with pytest.raises(StoreError, match="FOREIGN KEY"), store.write() as connection:
        connection.execute(sa.text("INSERT INTO tags VALUES ('nobody', 1, 'x')"))


@pytest.mark.parametrize(("revision", "words"), [("9999", "newer prefect-ml")])
def test_a_store_of_another_revision_is_refused(home: Path, revision: str, words: str) -> None:
    store = open_store()
    with store.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    from prefect_ml.store.upgrade import ensure_schema

    with pytest.raises(StoreError, match=words):
        ensure_schema(store)


@both_databases
def test_many_processes_may_make_the_same_new_store(home: Path) -> None:
    code = "from prefect_ml.store import open_store; print(open_store().url)"
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(6)]
    assert [child.wait() for child in children] == [0] * 6


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not a SQLAlchemy URL"),
        ("mysql://host/db", "mysql"),
        ("sqlite://", "needs a file"),
        ("sqlite:////proc/nowhere/store.db", "cannot be made"),
    ],
)
def test_a_store_url_that_cannot_be_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    monkeypatch.setenv("PREFECT_ML_STORE_URL", url)
    with pytest.raises((SettingsError, StoreError), match=words):
        open_store()


def test_a_password_shows_nowhere(home: Path) -> None:
    settings = load_settings(store_url="postgresql://me:hunter2@127.0.0.1:1/db")
    assert "hunter2" not in repr(settings)
    with pytest.raises(StoreError) as failure:
        open_store(settings)
    assert "hunter2" not in str(failure.value)


def test_settings_precedence(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.prefect_ml]\nexperiment = "file"\nhome = "/file"\n')
    environ = {"PREFECT_ML_EXPERIMENT": "environment"}
    block = {"store_url": "sqlite:////block/store.db", "artifact_root": "/block"}
    settings = load_settings(environ=environ, cwd=tmp_path, block=lambda: block, home="/argument")
    assert settings.experiment == "environment"
    assert settings.home == Path("/argument")
    assert settings.store_url == "sqlite:////block/store.db"
    assert load_settings(environ={}, cwd=tmp_path, block=dict).store_url == "sqlite:////file/store.db"


def test_an_unknown_key_in_pyproject_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.prefect_ml]\nexperimnt = "x"\n')
    with pytest.raises(SettingsError, match="experimnt"):
        load_settings(environ={}, cwd=tmp_path)


@both_databases
def test_history_keeps_every_value_in_order_of_step_time_and_arrival(store: Store) -> None:
    points = [(5, 10, 1.0), (3, 30, math.inf), (3, 20, math.nan), (5, 10, -2.5), (-1, 5, -math.inf)]
    with start_run() as run:
        for step, at, value in points:
            log_metric("m", value, step=step, timestamp=at)
    history = metric_history(run.id, "m")
    assert history.steps.tolist() == [-1, 3, 3, 5, 5]
    assert history.timestamps.tolist() == [5, 20, 30, 10, 10]
    np.testing.assert_array_equal(history.values, [-math.inf, math.nan, math.inf, 1.0, -2.5])
    assert not history.sampled
    assert get_run(run.id).metrics == {"m": -2.5}


def test_a_metric_that_was_not_logged_is_empty_and_an_attempt_that_never_was_is_refused(store: Store) -> None:
    with start_run() as run:
        log_metric("m", 1)
    nothing = metric_history(run.id, "other", attempt=1, max_points=2)
    assert (len(nothing), nothing.sampled) == (0, False)
    assert [column.dtype for column in (nothing.steps, nothing.timestamps, nothing.values)] == ["i8", "i8", "f8"]
    for attempt in (0, 2, -1):
        with pytest.raises(TrackingError, match=f"has no attempt {attempt}; its latest is attempt 1"):
            metric_history(run.id, "m", attempt=attempt)
    with pytest.raises(RunNotFound):
        metric_history("nobody", "m", attempt=1)


def test_a_long_history_is_sampled_on_request_and_says_so(store: Store) -> None:
    with start_run() as run:
        for i in range(5000):
            log_metric("m", i, step=i)
    history = metric_history(run.id, "m", max_points=100)
    assert history.sampled
    assert 90 < len(history) <= 100
    assert (history.steps[0], history.steps[-1]) == (0, 4999)


KILLED = """
import os, signal, prefect_ml
from prefect_ml import log_metric, start_run
scope = start_run(name="killed")
run = scope.__enter__()
print(run.id, flush=True)
for i in range(int(os.environ["POINTS"])):
    log_metric("m", i * 0.5, step=i)
print("logged", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@both_databases
def test_nothing_logged_is_lost_to_kill_9(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTS", "200000")
    child = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL
    run_id, logged = child.stdout.split()
    assert logged == "logged"
    store = open_store()
    recover(store)
    assert recover(store) == 0, "a second replay finds nothing"
    history = metric_history(run_id, "m")
    np.testing.assert_array_equal(history.steps, np.arange(200_000))
    np.testing.assert_array_equal(history.values, np.arange(200_000) * 0.5)
    assert list((home / "journal").glob("*.journal")) == []


def test_a_torn_record_at_the_end_of_a_journal_is_left_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTS", "10")
    child = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    run_id = child.stdout.split()[0]
    (journal,) = (home / "journal").glob("*.journal")
    with journal.open("ab") as file:
        file.write(b"\x03\x1c\x00\x00\x00torn")
    recover(open_store())
    assert len(metric_history(run_id, "m")) == 10


@both_databases
def test_points_are_in_the_database_within_seconds_without_any_flush(home: Path) -> None:
    code = """
    import sys
    from prefect_ml import log_metric, start_run
    with start_run() as run:
        log_metric("m", 1)
        print(run.id, flush=True)
        sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout
        run_id = child.stdout.readline().strip()
        deadline = time.monotonic() + 20
        while not len(metric_history(run_id, "m")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert metric_history(run_id, "m").values.tolist() == [1.0]
        assert get_run(run_id).status == "Running"
    finally:
        child.communicate("")
    assert get_run(run_id).status == "Completed"


@both_databases
def test_a_forked_child_writes_points_of_its_own(home: Path) -> None:
    with start_run() as run:
        log_metric("parent", 1)
        pid = os.fork()
        if pid == 0:
            log_metric("child", 2, run=run)
            run.writer.flush()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        log_metric("parent", 3)
    assert get_run(run.id).metrics == {"parent": 3.0, "child": 2.0}
    assert len(metric_history(run.id, "parent")) == 2


@both_databases
def test_a_run_whose_process_died_reads_as_crashed(store: Store) -> None:
    with start_run(name="silent") as run:
        with store.write() as connection:
            connection.execute(sa.text("UPDATE runs SET heartbeat_at = heartbeat_at - 61000"))
        assert get_run(run.id).status == "Crashed"
        assert [r.id for r in search_runs("status = 'Crashed'")] == [run.id]
        assert search_runs("status = 'Running'") == []
    assert get_run(run.id).status == "Completed"
