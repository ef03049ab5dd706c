"""Threads, coroutines and processes that log at once: each point in the right run, and once."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from prefect_ml import (
    current_run,
    get_run,
    log_metric,
    log_param,
    log_params,
    metric_history,
    search_runs,
    set_tags,
    start_run,
    track,
    with_current_run,
)
from prefect_ml.errors import NoActiveRun, ParamConflict, RunClosed
from prefect_ml.settings import load_settings
from prefect_ml.store import Store, open_store
from prefect_ml.tasks.active import ActiveRun

both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


def python(code: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=120
    )


def log_steps(rank: int, count: int) -> None:
    for step in range(rank * count, (rank + 1) * count):
        log_metric("shared", step, step=step)
        log_metric(f"own {rank}", step, step=step)


@both_databases
def test_threads_log_into_one_run(home: Path) -> None:
    with start_run() as run:
        threads = [threading.Thread(target=with_current_run(log_steps), args=(rank, 2000)) for rank in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert metric_history(run.id, "shared").steps.tolist() == list(range(12_000))
    assert metric_history(run.id, "own 3").values.tolist() == list(range(6000, 8000))


def test_a_thread_pool_takes_the_run_along(home: Path) -> None:
    def square(x: int) -> int:
        log_metric("square", x * x, step=x)
        return x * x

    with start_run(name="outer") as run, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(with_current_run(square), range(50))) == [x * x for x in range(50)]
        assert pool.submit(with_current_run(square), 50).result() == 2500
        with pytest.raises(NoActiveRun):
            pool.submit(square, 1).result()
    assert len(metric_history(run.id, "square")) == 51


def test_there_is_nothing_to_carry_without_a_run(home: Path) -> None:
    with pytest.raises(NoActiveRun, match="with_current_run"):
        with_current_run(log_steps)


def test_a_thread_that_outlives_its_run_is_told_so(home: Path) -> None:
    with start_run() as run:
        late = with_current_run(log_steps)
        handle = current_run()
    with pytest.raises(RunClosed, match=run.id), ThreadPoolExecutor(1) as pool:
        pool.submit(late, 0, 1).result()
    with pytest.raises(RunClosed, match="Completed"):
        log_metric("m", 1, run=handle)
    with pytest.raises(RunClosed):
        log_param("p", 1, run=handle)


def test_scopes_of_one_name_in_threads_are_runs_of_their_own(home: Path) -> None:
    def fold(index: int) -> str:
        with start_run(name="fold") as child:
            log_param("index", index)
            return child.id

    with start_run() as run, ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(with_current_run(fold), range(40)))
    assert len(set(ids)) == 40
    assert [get_run(child).params["index"] for child in ids[:5]] == ["0", "1", "2", "3", "4"]
    assert {child.parent_id for child in search_runs(f"parent_id = '{run.id}'")} == {run.id}


def test_coroutines_that_take_turns_log_into_their_own_runs(home: Path) -> None:
    @track
    async def train(index: int) -> str:
        for step in range(20):
            log_metric("m", index, step=step)
            await asyncio.sleep(0)
        run = current_run()
        assert run
        return run.id

    async def all_of_them() -> list[str]:
        with start_run(name="sweep"):
            return await asyncio.gather(*(train(index) for index in range(5)))

    for index, run_id in enumerate(asyncio.run(all_of_them())):
        assert metric_history(run_id, "m").values.tolist() == [index] * 20


RANKS = """
    import os, sys
    from prefect_ml import log_metric, log_params, set_tags, start_run

    ranks, points = int(sys.argv[1]), int(sys.argv[2])
    pids = []
    for rank in range(ranks):
        if not (pid := os.fork()):
            with start_run() as run:
                log_params({"alpha": 1, "beta": 2} if rank % 2 else {"beta": 2, "alpha": 1})
                for step in range(points):
                    log_metric("loss", rank, step=step * ranks + rank)
                    if step % 1000 == 0:
                        names = [f"tag {n}" for n in range(5)]
                        set_tags(dict.fromkeys(names if rank % 2 else reversed(names), rank))
            sys.exit()
        pids.append(pid)
    sys.exit(any([os.waitpid(pid, 0)[1] for pid in pids]))
"""


@both_databases
def test_many_processes_write_one_run(home: Path) -> None:
    with start_run() as run:
        ranks = python(RANKS, "8", "10000", PREFECT_ML_RUN_ID=run.id)
        assert (ranks.returncode, ranks.stderr) == (0, "")
        assert get_run(run.id).status == "Running", "only its own scope closes it"
    history = metric_history(run.id, "loss")
    np.testing.assert_array_equal(history.steps, np.arange(80_000))
    np.testing.assert_array_equal(history.values, np.tile(np.arange(8), 10_000))
    found = get_run(run.id)
    assert (found.status, found.params, found.metrics["loss"]) == ("Completed", {"alpha": "1", "beta": "2"}, 7.0)
    assert len(list((home / "journal").glob("*"))) == 1, "that of this process"


@both_databases
def test_another_process_hears_of_a_conflict(home: Path) -> None:
    with start_run() as run:
        log_param("alpha", 1)
        other = python(
            "from prefect_ml import log_param, start_run\nwith start_run(): log_param('alpha', 2)",
            PREFECT_ML_RUN_ID=run.id,
        )
        assert "ParamConflict" in other.stderr
        assert "'1'" in other.stderr
        assert "'2'" in other.stderr
    late = python("import prefect_ml\nwith prefect_ml.start_run(): pass", PREFECT_ML_RUN_ID=run.id)
    assert "RunClosed" in late.stderr
    assert get_run(run.id).params == {"alpha": "1"}


def test_threads_that_disagree_about_a_param_leave_one_value(home: Path) -> None:
    def attempt(value: int) -> str:
        try:
            log_params({"alpha": value})
        except ParamConflict:
            return "refused"
        return str(value)

    with start_run() as run, ThreadPoolExecutor(8) as pool:
        answers = [answer for answer in pool.map(with_current_run(attempt), range(8)) if answer != "refused"]
    assert answers == [get_run(run.id).params["alpha"]]


POOLS = """
    import json, multiprocessing, sys
    from concurrent.futures import ProcessPoolExecutor
    from prefect_ml import current_run, log_metric, metric_history, start_run, track, with_current_run

    def work(x):
        log_metric("m", x, step=x)
        return current_run().id

    @track
    def train(x):
        log_metric("m", x)
        return current_run().id

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        with start_run() as run:
            log_metric("m", -1, step=-1)
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                runs = set(pool.map(with_current_run(work), range(40)))
                seen = metric_history(run.id, "m").values.tolist()
                children = list(pool.map(with_current_run(train), range(10)))
            process = context.Process(target=with_current_run(work), args=(40,))
            process.start()
            process.join()
        after = metric_history(run.id, "m").values.tolist()
        values = sorted(metric_history(child, "m").values.tolist() for child in children)
        print(json.dumps([runs == {run.id}, seen, after, len(set(children)), values]))
"""


@pytest.mark.parametrize(
    "method", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.heavy, id="forkserver-runners")]
)
def test_process_pools_take_the_run_along(home: Path, tmp_path: Path, method: str) -> None:
    script = tmp_path / "pools.py"
    script.write_text(textwrap.dedent(POOLS))
    done = subprocess.run([sys.executable, script, method], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    same, seen, after, children, values = json.loads(done.stdout)
    assert same
    assert seen == list(range(-1, 40)), "what a call has logged is there when it returns"
    assert after == list(range(-1, 41))
    assert (children, values) == (10, [[float(x)] for x in range(10)])
    assert list((home / "journal").glob("*")) == []


def forked_work(rank: int) -> None:
    for step in range(500):
        log_metric("m", rank, step=step)
    with start_run(name="child"):
        log_param("rank", rank)


@both_databases
@pytest.mark.parametrize("leave", ["multiprocessing", "os._exit"])
def test_forks_in_the_middle_of_logging_lose_and_double_nothing(home: Path, leave: str) -> None:
    stop = threading.Event()

    def keep_logging(run: ActiveRun) -> int:
        step = 0
        while not stop.is_set() or step < 3000:
            log_metric("parent", step, step=step, run=run)
            step += 1
            if step % 500 == 0:
                set_tags({"step": step}, run=run)
        return step

    context = multiprocessing.get_context("fork")
    with start_run() as run, ThreadPoolExecutor(1) as pool:
        logging = pool.submit(keep_logging, run)
        for rank in range(8):
            if leave == "multiprocessing":
                child = context.Process(target=forked_work, args=(rank,))
                child.start()
                child.join()
                assert child.exitcode == 0
            elif pid := os.fork():
                assert os.waitpid(pid, 0)[1] == 0
            else:
                forked_work(rank)
                os._exit(0)
        stop.set()
        logged = logging.result()
    np.testing.assert_array_equal(metric_history(run.id, "parent").steps, np.arange(logged))
    values, counts = np.unique(metric_history(run.id, "m").values, return_counts=True)
    assert (values.tolist(), counts.tolist()) == (list(range(8)), [500] * 8)
    children = search_runs(f"parent_id = '{run.id}'")
    assert sorted(child.params["rank"] for child in children) == [str(rank) for rank in range(8)]
    assert {child.status for child in children} == {"Completed"}
    assert len(list((home / "journal").glob("*"))) == 1, "that of this process"


def test_a_forked_child_that_leaves_the_body_does_not_end_the_run(home: Path) -> None:
    code = """
    import os, sys
    from prefect_ml import get_run, log_metric, start_run
    with start_run() as run:
        if not (pid := os.fork()):
            log_metric("child", 1)
            sys.exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        assert get_run(run.id).status == "Running"
        assert get_run(run.id).metrics == {"child": 1.0}
    """
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_several_stores_in_one_process(home: Path, tmp_path: Path) -> None:
    def store(name: str) -> Store:
        return open_store(load_settings(home=str(tmp_path / "home"), store_url=f"sqlite:///{tmp_path / name}.db"))

    stores = [store(name) for name in ("a", "b", "c")]

    def log_into(number: int) -> str:
        with start_run(store=stores[number]) as run:
            for step in range(2000):
                log_metric("m", number, step=step)
        return run.id

    with ThreadPoolExecutor(3) as pool:
        ids = list(pool.map(log_into, range(3)))
    for number, (opened, run_id) in enumerate(zip(stores, ids, strict=True)):
        assert [run.id for run in search_runs(store=opened)] == [run_id]
        assert metric_history(run_id, "m", store=opened).values.tolist() == [number] * 2000


def test_a_process_pool_that_starts_its_children_by_itself(home: Path) -> None:
    """A pool whose children never saw a run: each call joins it, and its points are there at once."""
    with start_run() as run, ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(with_current_run(os.path.basename), "a/b").result() == "b"
        assert get_run(run.id).status == "Running"


def test_the_example_in_the_documents_runs(home: Path, tmp_path: Path) -> None:
    document = Path(__file__).parents[1] / "docs" / "truth.md"
    (code,) = re.findall(r"```python\n(.*?)```", document.read_text(), flags=re.S)
    script = tmp_path / "example.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = search_runs()
    assert metric_history(run.id, "rmse").steps.tolist() == list(range(10))
