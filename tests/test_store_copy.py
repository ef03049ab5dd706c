"""Copying, backing up and checking stores."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from prefect_ml import (
    download_artifacts,
    get_run,
    log_metric,
    log_params,
    log_text,
    metric_history,
    promote,
    search_runs,
    start_run,
)
from prefect_ml.errors import StoreError
from prefect_ml.registry import get_model_version, model_history, register_model
from prefect_ml.settings import load_settings
from prefect_ml.store import Store, copying, copying_models, open_store, schema
from prefect_ml.store.artifacts import list_entries, put_folder
from prefect_ml.store.backup import backup_store
from prefect_ml.store.checking import check_store
from prefect_ml.store.copying import copy_store
from prefect_ml.store.models import record_logged_model

both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


TRACK = """
import math
from prefect_ml import log_metric, log_params, log_text, set_tag, start_run
with start_run(experiment="wine", name="top") as top:
    log_params({"alpha": 0.5, "kind": "tree"})
    for step in range(300):
        log_metric("loss", math.nan if step == 7 else 1 / (step + 1), step=step)
    log_text("hello", "folder/note.txt")
    with start_run(name="below") as below:
        set_tag("team", "red")
        log_metric("loss", math.inf)
print(top.id, below.id)
"""


def fill(store: Store, tmp_path: Path, model: str = "wine") -> list[str]:
    """Track a parent and a child in a process of their own, with a model; give their ids."""
    child = subprocess.run([sys.executable, "-c", TRACK], capture_output=True, text=True, check=True, cwd=tmp_path)
    ids = child.stdout.split()
    folder = tmp_path / f"model-{model}"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")
    uri = f"{store.settings.artifact_root}/models/aa/{model}"
    put_folder(folder, uri)
    record_logged_model(ids[0], 1, "model", uri=uri, digest=model, flavor="f", store=store)
    with store.write() as connection:
        connection.execute(sa.insert(schema.results).values(key=f"k{model}", run_id=ids[0], at=1))
    return ids


def elsewhere(tmp_path: Path, url: str | None = None) -> Store:
    home = tmp_path / "elsewhere"
    return open_store(load_settings(home=str(home), store_url=url or f"sqlite:///{home}/store.db",
                                    artifact_root=str(home / "artifacts")))  # fmt: skip


def call(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prefect_ml.cli", "store", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def contents(store: Store) -> dict[str, int]:
    with store.read() as connection:
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in schema.metadata.sorted_tables
            if table.name not in ("journals", "names")
        }


@pytest.mark.parametrize(
    ("database", "target"), [("sqlite", "postgresql"), ("postgresql", "sqlite")], indirect=["database"]
)
def test_a_store_is_copied_whole_and_once(
    store: Store, tmp_path: Path, target: str, postgresql: Callable[[], str]
) -> None:
    ids = fill(store, tmp_path)
    other = elsewhere(tmp_path, postgresql() if target == "postgresql" else None)
    with other.write() as connection:  # numbers of its own
        for i in range(5):
            connection.execute(sa.insert(schema.names).values(name=f"own {i}"))
        connection.execute(sa.insert(schema.experiments).values(name="own", created_at=0))
    said: list[str] = []
    first = copy_store(store, other, say=said.append)
    assert (first.runs, first.there, first.rows["runs"], first.rows["params"]) == (2, 0, 2, 2)
    assert [line.partition(",")[0] for line in said] == ["2 of 2 runs"]
    whole = contents(other)
    assert whole == {**contents(store), "experiments": 2}
    again = copy_store(store, other)
    assert (again.runs, again.there, again.files) == (0, 2, 0)
    assert contents(other) == whole
    for run_id in ids:
        mine, theirs = get_run(run_id, store=store), get_run(run_id, store=other)
        assert (mine.params, mine.tags, mine.parent_id, mine.source) == (
            theirs.params,
            theirs.tags,
            theirs.parent_id,
            theirs.source,
        )
        np.testing.assert_array_equal(
            metric_history(run_id, "loss", store=store).values, metric_history(run_id, "loss", store=other).values
        )
        assert theirs.artifact_uri.startswith(other.settings.artifact_root)
    copied = download_artifacts(ids[0], to=tmp_path / "downloaded", store=other)
    assert (copied / "folder" / "note.txt").read_text() == "hello"
    assert (copied / "model" / "MLmodel").exists()
    assert check_store(store=other) == []
    other.engine.dispose()


def test_artifacts_go_to_s3(store: Store, tmp_path: Path, s3: Any) -> None:
    ids = fill(store, tmp_path)
    root = f"s3://bucket/copied-{ids[0]}"
    other = open_store(
        load_settings(
            home=str(tmp_path / "elsewhere"),
            store_url=f"sqlite:///{tmp_path}/other.db",
            artifact_root=root,
            storage_options=json.dumps(s3.options),
        )
    )
    copied = copy_store(store, other)
    assert copied.files == 2
    uri = get_run(ids[0], store=other).artifact_uri
    assert uri.startswith(root)
    assert list_entries(uri, options=s3.options) == list_entries(get_run(ids[0]).artifact_uri)
    assert copy_store(store, other).files == 0
    assert check_store(store=other) == []
    other.engine.dispose()


def test_the_registry_is_copied_and_never_mixed(store: Store, tmp_path: Path) -> None:
    (run_id, _) = fill(store, tmp_path)
    register_model("wine", f"runs:/{run_id}/model")
    promote("wine", 1, to="Production", reason="the first")
    other = elsewhere(tmp_path)
    copy_store(store, other)
    version = get_model_version("wine", "Production", store=other)
    assert (version.version, version.run_id) == (1, run_id)
    assert [event.kind for event in model_history("wine", store=other)] == [e.kind for e in model_history("wine")]
    register_model("wine", f"runs:/{run_id}/model")
    promote("wine", 2, to="Production", reason="better")
    copy_store(store, other)
    assert get_model_version("wine", "Production", store=other).version == 2
    register_model("wine", f"runs:/{run_id}/model", store=other)
    with pytest.raises(StoreError, match="history of its own"):
        copy_store(store, other)
    with pytest.raises(StoreError, match="into itself"):
        copy_store(store, store)
    other.engine.dispose()


def test_what_has_come_since_is_brought_and_what_is_set_there_stays(store: Store, tmp_path: Path) -> None:
    ids = fill(store, tmp_path)
    code = Path(store.settings.artifact_root, "code", "x.diff")
    code.parent.mkdir(parents=True)
    code.write_text("+1")
    names = sa.select(schema.names.c.id).where(schema.names.c.name == "team").scalar_subquery()
    top = sa.select(schema.runs.c.seq).where(schema.runs.c.id == ids[0]).scalar_subquery()
    other = elsewhere(tmp_path)
    copy_store(store, other)
    with store.write() as connection:
        source = {"project": "p", "entry_point": "e", "commit": "c", "dirty": True, "changes": str(code)}
        connection.execute(sa.update(schema.runs).values(source=source))
        connection.execute(sa.insert(schema.tags).values(run_seq=top, name_id=names, value="blue"))
    with other.write() as connection:
        name = sa.insert(schema.names).values(name="there").returning(schema.names.c.id)
        number = connection.execute(name).scalar_one()
        connection.execute(sa.insert(schema.tags).values(run_seq=top, name_id=number, value="stays"))
    copy_store(store, other)
    assert get_run(ids[0], store=other).tags == {"team": "blue", "there": "stays"}
    moved = get_run(ids[1], store=other).source.changes
    assert moved == f"{other.settings.artifact_root}/code/x.diff"
    assert Path(moved).read_text() == "+1"
    other.engine.dispose()


def test_a_run_that_was_running_is_brought_up_to_date(store: Store, tmp_path: Path) -> None:
    other = elsewhere(tmp_path)
    with start_run(name="long") as run:
        log_metric("loss", 1)
        run.writer.flush()
        copy_store(store, other)
        assert get_run(run.id, store=other).status == "Running"
        log_metric("loss", 2)
        log_text("late", "late.txt")
    copy_store(store, other)
    assert (get_run(run.id, store=other).status, get_run(run.id, store=other).metrics) == ("Completed", {"loss": 2.0})
    assert len(metric_history(run.id, "loss", store=other)) == 2
    assert (download_artifacts(run.id, to=tmp_path / "late", store=other) / "late.txt").exists()
    other.engine.dispose()


KILLED = """
import os, sys
import prefect_ml.store.copying as copying
from prefect_ml.settings import load_settings
from prefect_ml.store import open_store
copying._AT_ONCE = 3
when = int(sys.argv[3])
calls = 0
def trace(frame, event, argument):
    global calls
    if event == "call" and "/store/" in frame.f_code.co_filename:
        calls += 1
        if calls == when:
            os.kill(os.getpid(), 9)
source, home = open_store(), sys.argv[2]
target = open_store(load_settings(store_url=sys.argv[1], home=home, artifact_root=home + "/artifacts"))
sys.setprofile(trace)
copying.copy_store(source, target)
"""


def test_a_copy_that_is_killed_anywhere_goes_on(store: Store, tmp_path: Path) -> None:
    ids = [run_id for i in range(2) for run_id in fill(store, tmp_path, f"m{i}")]
    register_model("wine", f"runs:/{ids[0]}/model")
    killed = 0
    for when in (400, 1200, 2000, 2800):
        other_url, home = f"sqlite:///{tmp_path}/elsewhere/store.db", str(tmp_path / "elsewhere")
        child = subprocess.run([sys.executable, "-c", KILLED, other_url, home, str(when)], check=False)
        killed += child.returncode == -signal.SIGKILL
    assert killed >= 3
    other = elsewhere(tmp_path)
    copy_store(store, other)
    assert contents(other) == contents(store)
    assert check_store(store=other) == []
    assert [
        (download_artifacts(i, to=tmp_path / i, store=other) / "folder" / "note.txt").exists() for i in ids[::2]
    ] == [True, True]
    other.engine.dispose()


@both_databases
def test_a_backup_is_one_moment_of_a_store_in_use(store: Store, tmp_path: Path) -> None:
    ids = fill(store, tmp_path)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with start_run(name="busy") as run:
                log_params({"a": 1, "b": 2})
                log_metric("loss", 1)
                run.writer.flush()

    busy = threading.Thread(target=work)
    busy.start()
    try:
        backup = backup_store(tmp_path / "backup.db")
    finally:
        stop.set()
        busy.join()
    assert sorted(path.name for path in tmp_path.iterdir() if "backup" in path.name) == ["backup.db"]
    copy = open_store(load_settings(store_url=f"sqlite:///{backup}"))
    assert get_run(ids[0], store=copy).params == {"alpha": "0.5", "kind": "tree"}
    assert metric_history(ids[0], "loss", store=copy).values[-1] == 1 / 300
    assert check_store(store=copy, artifacts=False) == []
    assert {tuple(sorted(run.params)) for run in search_runs("name = 'busy' and status = 'Completed'", store=copy)} <= {
        ("a", "b")
    }
    with pytest.raises(StoreError, match="exists"):
        backup_store(backup)
    with pytest.raises(StoreError, match="no folder"):
        backup_store(tmp_path / "nowhere" / "backup.db")
    copy.engine.dispose()


def test_a_check_finds_what_does_not_fit(store: Store, tmp_path: Path) -> None:
    (top, below) = fill(store, tmp_path)
    assert check_store() == []
    with store.write() as connection:
        connection.execute(sa.text("UPDATE series SET count = count + 1 WHERE count = 1"))
        connection.execute(sa.text("UPDATE segments SET data = substr(data, 1, 20) WHERE count = 300"))
    Path(store.settings.artifact_root, "models/aa/wine/MLmodel").unlink()
    (store.settings.journal / "x.unreadable").touch()
    found = check_store()
    assert [(one.kind, one.what) for one in found] == [
        ("series", below), ("series", top), ("artifact", f"{top}/model"), ("journal", "x.unreadable")
    ]  # fmt: skip
    child = subprocess.run(
        [sys.executable, "-m", "prefect_ml.cli", "store", "check", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 1
    assert [one["what"] for one in json.loads(child.stdout)] == [one.what for one in found]


def test_the_command_line_copies_and_backs_up(store: Store, tmp_path: Path, postgresql: Callable[[], str]) -> None:
    fill(store, tmp_path)

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "prefect_ml.cli", "store", *words], capture_output=True, text=True, check=False
        )

    url = postgresql()
    refused = call("copy", store.settings.store_url, url)
    assert (refused.returncode, "--to-artifacts" in refused.stderr) == (2, True)
    done = call("copy", store.settings.store_url, url, "--to-artifacts", str(tmp_path / "team"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"]["runs"] == 2
    assert "2 of 2 runs" in done.stderr
    assert call("copy", store.settings.store_url, url, "--no-artifacts").stdout.startswith("Copied 0 runs and 0 files")
    assert call("backup", str(tmp_path)).returncode == 0
    with sqlite3.connect(tmp_path / "store.db") as copy:
        assert copy.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    assert call("check").stdout.startswith("Everything fits")


def test_every_table_is_copied_or_stays_for_a_reason() -> None:
    shared = {
        "environments",
        "names",
        "datasets",
        "experiments",
        "runs",
        "logged_models",
        "results",
        "reuses",
        "outbox",
    }
    of_runs = {table.name for table in copying._OF_RUNS}
    of_models = {table.name for table in copying_models._NAMED}
    local = {"endpoints", "journals"}
    assert shared | of_runs | of_models | local == set(schema.metadata.tables)
