"""System metrics: one thread per process, for the outermost run, of this process and its children, too."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from prefect_ml import get_run, log_metric, metric_history, start_run, track
from prefect_ml.errors import SettingsError
from prefect_ml.settings import load_settings
from prefect_ml.store import MetricHistory

NAMES = {"system/cpu", "system/memory", "system/process/cpu", "system/process/memory"}


@pytest.fixture
def often(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples ten times a second."""
    monkeypatch.setenv("PREFECT_ML_SYSTEM_METRICS_SECONDS", "0.1")


def eventually(look: Callable[[], bool]) -> None:
    for _ in range(600):
        if look():
            return
        time.sleep(0.05)
    raise AssertionError("waited for in vain")


def history(run_id: str, name: str) -> MetricHistory:
    return metric_history(run_id, name)


def samplers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefect-ml-system-metrics"]


@pytest.mark.usefixtures("often")
def test_the_outermost_run_is_told_what_machine_and_process_do_until_it_ends() -> None:
    with start_run(system_metrics=True) as run:
        with start_run() as child:
            eventually(lambda: len(history(run.id, "system/cpu")) > 2)
            assert len(samplers()) == 1
        log_metric("own", 1)
    found, inner = get_run(run.id).metrics, get_run(child.id).metrics
    assert set(found) >= NAMES | {"own"}
    assert inner == {}
    assert 0 <= found["system/cpu"] <= 1
    assert 0 < found["system/memory"] < psutil.virtual_memory().total
    assert 0 < found["system/process/memory"] < found["system/memory"]
    eventually(lambda: samplers() == [])
    assert get_run(run.id).metrics == found


@pytest.mark.usefixtures("often")
def test_children_are_part_of_the_process_and_what_they_did_is_not_lost_when_they_end() -> None:
    busy = "import time\nend = time.process_time() + 1\nwhile time.process_time() < end: pass"
    with start_run(system_metrics=True) as run:
        eventually(lambda: len(history(run.id, "system/process/cpu")) > 0)
        subprocess.run([sys.executable, "-c", busy], check=True)
        seen = len(history(run.id, "system/process/cpu"))
        eventually(lambda: len(history(run.id, "system/process/cpu")) > seen)
    points = history(run.id, "system/process/cpu")
    assert (points.values >= 0).all()
    seconds = (points.timestamps[1:] - points.timestamps[:-1]) / 1000
    assert (points.values[1:] * seconds).sum() > 0.9


@pytest.mark.usefixtures("often")
def test_many_runs_share_one_thread_and_each_is_told() -> None:
    ready, done = threading.Barrier(4), threading.Event()
    ids: list[str] = []

    @track(system_metrics=True)
    def work() -> None:
        from prefect_ml import current_run

        ids.append(current_run().id)  # type: ignore[union-attr]
        ready.wait(60)
        done.wait(60)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.wait(60)
    eventually(lambda: all("system/cpu" in get_run(run_id).metrics for run_id in ids))
    assert len(samplers()) == 1
    done.set()
    for thread in threads:
        thread.join()


def test_the_setting_turns_them_on_a_run_can_turn_them_off_and_forked_children_are_not_watched(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.prefect_ml]\nsystem_metrics = true\nsystem_metrics_seconds = 0.2\n")
    (tmp_path / "script.py").write_text(
        "import multiprocessing, threading, time, prefect_ml\n"
        "def names(): return [t.name for t in threading.enumerate() if 'system-metrics' in t.name]\n"
        "def child(queue):\n"
        "    with prefect_ml.start_run() as run: time.sleep(1)\n"
        "    queue.put((run.id, len(names())))\n"
        "with prefect_ml.start_run(system_metrics=False) as off: print(off.id, len(names()))\n"
        "context = multiprocessing.get_context('fork')\n"
        "queue = context.Queue()\n"
        "with prefect_ml.start_run() as run:\n"
        "    process = context.Process(target=child, args=(queue,))\n"
        "    process.start()\n"
        "    print(*queue.get())\n"
        "    process.join()\n"
        "    while 'system/cpu' not in prefect_ml.get_run(run.id).metrics: time.sleep(0.1)\n"
        "    print(run.id, len(names()))\n"
    )
    command = [sys.executable, "script.py"]
    ended = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120)
    off, forked, on = (line.split() for line in ended.stdout.splitlines())
    assert [off[1], forked[1], on[1]] == ["0", "0", "1"]
    assert get_run(off[0]).metrics == get_run(forked[0]).metrics == {}
    assert set(get_run(on[0]).metrics) >= NAMES


@pytest.mark.usefixtures("home")
def test_they_are_off_by_default() -> None:
    with start_run():
        assert samplers() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("system_metrics", "maybe"), ("system_metrics_seconds", "0"), ("system_metrics_seconds", "soon")],
)
def test_a_setting_that_makes_no_sense_is_refused(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings(environ={f"PREFECT_ML_{name.upper()}": value}, cwd=tmp_path, block=dict)
