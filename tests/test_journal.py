"""The journal's files: what a reader makes of what a dead process or machine has left."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefect_ml import get_run, log_metric, log_series, metric_history, start_run
from prefect_ml.errors import StoreError
from prefect_ml.store import Store, open_store, recover
from prefect_ml.store.checking import check_store
from prefect_ml.store.codec import Points
from prefect_ml.store.journal import START, JournalFile, SeriesKey, abandoned, pack_entry, read_batch

KEY = SeriesKey("run", 1, "損失")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., JournalFile]:
    def new(name: str = "a", size: int = 1 << 16) -> JournalFile:
        return JournalFile(tmp_path, "store", size, name)

    return new


def block(count: int) -> Points:
    return Points(np.arange(count), np.full(count, 7), np.arange(count) / 3)


def test_what_was_written_is_read_in_order(make: Callable[..., JournalFile]) -> None:
    file = make()
    number = file.add_key(KEY)
    file.add_block(number, block(100))
    end = file.add_entry(pack_entry({"do": "tags", "run": "run", "values": {"a": "b" * 1000}}))
    batch, behind = read_batch(file.map, {})
    assert behind == end == file.offset
    np.testing.assert_array_equal(batch.points[KEY].values, np.arange(100) / 3)
    assert batch.entries == [(end, {"do": "tags", "run": "run", "values": {"a": "b" * 1000}})]
    file.discard()


@pytest.mark.parametrize("damaged", ["block", "entry", "length"])
def test_a_payload_that_never_reached_the_disk_ends_the_reading(make: Callable[..., JournalFile], damaged: str) -> None:
    """A machine that dies may bring the slot of a record to the disk, and not the pages behind it."""
    file = make()
    number = file.add_key(KEY)
    file.add_block(number, block(10))
    good = file.offset
    if damaged == "entry":
        file.add_entry(pack_entry({"do": "tags", "run": "run", "values": {"a": "b" * 100}}))
    else:
        file.add_block(number, block(10))
    if damaged == "length":
        file.map[good : good + 8] = b"\xff" * 8
    else:
        file.map[good + 40 : good + 60] = bytes(20)
    batch, behind = read_batch(file.map, {})
    assert (behind, len(batch.points[KEY]), batch.entries) == (good, 10, [])
    file.discard()


def test_a_series_whose_naming_is_lost_is_left_out(make: Callable[..., JournalFile]) -> None:
    file = make()
    file.add_block(5, block(10))
    assert not read_batch(file.map, {})[0].points
    file.discard()


def test_a_record_that_was_interrupted_is_never_written_over(make: Callable[..., JournalFile]) -> None:
    file = make()
    number = file.add_key(KEY)

    nothing: Any = None
    with pytest.raises(AttributeError):
        file.add_block(number, nothing)
    assert not file.room(0), "the next record goes to another file"
    file.discard()


def test_a_file_is_taken_once_and_only_from_the_dead(make: Callable[..., JournalFile], tmp_path: Path) -> None:
    file = make()
    path = file.path
    code = f"""
    from pathlib import Path
    from prefect_ml.store.journal import abandoned
    with abandoned(Path({str(path)!r}), "store") as taken:
        print(taken is not None)
    """

    def taken_by_another() -> str:
        command = [sys.executable, "-c", textwrap.dedent(code)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert taken_by_another() == "False"
    if not (pid := os.fork()):
        os._exit(0)  # a child that closes what it has inherited gives up none of our locks
    os.waitpid(pid, 0)
    assert taken_by_another() == "False"
    file.forget()
    assert taken_by_another() == "True"
    with abandoned(path, "another store") as other:
        assert other is None
    with abandoned(path, "store") as mine:
        assert mine is not None
        assert len(mine.data) == 1 << 16


def test_a_file_without_a_beginning_is_removed_after_an_hour(tmp_path: Path) -> None:
    path = tmp_path / "b.journal"
    path.write_bytes(bytes(START))
    with abandoned(path, "store") as taken:
        assert taken is None
    assert path.exists(), "somebody may be about to write it"
    os.utime(path, (0, 0))
    with abandoned(path, "store"):
        pass
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="PREFECT_ML_JOURNAL"):
        JournalFile(blocked / "journal", "store", 1 << 16, "a")


DYING = """
import os, signal
from prefect_ml import log_metric, start_run
with start_run() as run:
    print(run.id, flush=True)
    for step in range(1000):
        log_metric("m", step)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_journal_that_cannot_be_read_is_kept_and_holds_up_nobody(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    child = subprocess.run([sys.executable, "-c", DYING], capture_output=True, text=True, check=False)
    (path,) = (home / "journal").glob("*.journal")
    damaged = JournalFile(home / "journal", open_store().settings.store_key, 1 << 16, "damaged")
    damaged.add_entry(b'{"a name without a series": 1}')
    damaged.forget()
    with caplog.at_level(logging.ERROR, "prefect_ml"), start_run() as run:
        log_metric("m", 1)
    assert get_run(run.id).metrics == {"m": 1.0}
    assert len(metric_history(child.stdout.strip(), "m")) == 1000
    assert not path.exists()
    assert "damaged.unreadable" in caplog.text
    assert (home / "journal" / "damaged.unreadable").exists()


def test_recovering_while_logging_disturbs_neither(home: Path) -> None:
    """Within a process the locks on journals keep nobody out, so a recovery must know which files are ours."""
    store, stop = open_store(), threading.Event()

    def keep_recovering() -> None:
        while not stop.is_set():
            recover(store)

    threads = [threading.Thread(target=keep_recovering) for _ in range(2)]
    for thread in threads:
        thread.start()
    with start_run() as run:
        for start in range(0, 300_000, 3000):
            log_series("m", np.arange(start, start + 3000), steps=np.arange(start, start + 3000))
    stop.set()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(metric_history(run.id, "m").steps, np.arange(300_000))


TRAINING = """
import sys
from prefect_ml import log_metric, start_run
with start_run() as run:
    print(run.id, flush=True)
    for step, _ in enumerate(sys.stdin):
        log_metric("m", step)
        print(step, flush=True)
"""


@pytest.mark.parametrize("dies", [True, False])
def test_what_the_database_does_not_take_is_found_by_a_check(store: Store, dies: bool) -> None:
    child = subprocess.Popen([sys.executable, "-c", TRAINING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin
    assert child.stdout
    try:
        run_id = child.stdout.readline().strip()
        assert [problem for problem in check_store() if problem.kind == "journal"] == []
        with store.write() as connection:
            refusal = "BEFORE UPDATE ON journals BEGIN SELECT RAISE(FAIL, 'no'); END"
            for event, name in (("INSERT", "first"), ("UPDATE", "later")):
                connection.exec_driver_sql(f"CREATE TRIGGER {name} {refusal.replace('UPDATE', event)}")
        child.stdin.write("go\n")
        child.stdin.flush()
        assert child.stdout.readline() == "0\n"
        if dies:
            child.kill()
            child.wait()
        (problem,) = check_store()
        assert problem.kind == "journal"
        assert f" of process {child.pid}, which {'has died, wait' if dies else 'lives, have not'}" in problem.message
        assert ("store recover" in problem.message) == dies
        with store.write() as connection:
            for name in ("first", "later"):
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        assert check_store() == []
        assert len(metric_history(run_id, "m")) == 1
    finally:
        child.kill()
        child.wait()
