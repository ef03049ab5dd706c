"""Tracking without Prefect: runs, @track, log_*."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

import prefect_ml
from prefect_ml import (
    current_run,
    get_run,
    list_artifacts,
    log_artifact,
    log_artifacts,
    log_dict,
    log_metric,
    log_metrics,
    log_param,
    log_params,
    log_text,
    metric_history,
    search_runs,
    set_tag,
    set_tags,
    start_run,
    track,
)
from prefect_ml.errors import (
    ArtifactError,
    NoActiveRun,
    ParamConflict,
    RunClosed,
    RunNotFound,
    SettingsError,
    TrackingError,
)
from prefect_ml.store import Store

pytestmark = [
    pytest.mark.usefixtures("home"),
    pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True),
]


def test_a_run_holds_what_was_logged() -> None:
    with start_run(experiment="wine", name="baseline", tags={"team": "a"}) as run:
        log_param("alpha", 0.5)
        log_params({"depth": 3, "kind": "tree"})
        log_metric("rmse", np.float32(0.5))
        log_metrics({"rmse": 0.25, "mae": 1}, step=7)
        set_tag("team", "b")
        set_tags({"note": "text"})
    found = get_run(run.id)
    assert (found.name, found.experiment, found.status, found.attempt) == ("baseline", "wine", "Completed", 1)
    assert found.params == {"alpha": "0.5", "depth": "3", "kind": "tree"}
    assert found.metrics == {"rmse": 0.25, "mae": 1.0}
    assert found.tags == {"team": "b", "note": "text"}
    assert found.ended_at is not None
    assert found.started_at <= found.ended_at
    assert found.source.entry_point == __name__


def test_a_run_inside_a_run_is_its_child_with_an_id_that_follows_from_it() -> None:
    with start_run(name="outer") as outer:
        with start_run(name="step") as first:
            pass
        with start_run(name="step") as second:
            pass
    assert {run.id for run in search_runs(f"parent_id = '{outer.id}'")} == {first.id, second.id}
    assert first.id != second.id
    assert get_run(first.id).experiment == outer.experiment


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "Failed"), (KeyboardInterrupt, "Cancelled"), (SystemExit, "Completed")]
)
def test_a_run_ends_as_its_body_does(error: type[BaseException], status: str) -> None:
    with pytest.raises(error), start_run() as run:
        raise error
    assert get_run(run.id).status == status


def test_logging_with_no_run_says_how_to_open_one() -> None:
    for call in (lambda: log_metric("m", 1), lambda: log_param("p", 1), lambda: set_tag("t", 1)):
        with pytest.raises(NoActiveRun, match="start_run"):
            call()


def test_a_param_is_written_once_and_a_conflict_shows_both_and_writes_nothing() -> None:
    with start_run() as run:
        log_param("alpha", 1)
        log_param("alpha", 1)
        with pytest.raises(ParamConflict, match=r"'1'.*'2'"):
            log_params({"new": 1, "alpha": 2})
    assert get_run(run.id).params == {"alpha": "1"}


@pytest.mark.parametrize("value", ["text", "0.5", None, [1, 2], np.array([1.0, 2.0]), object()])
def test_a_metric_that_is_no_number_is_refused_as_a_whole(value: object) -> None:
    with start_run() as run, pytest.raises(TrackingError, match="one number"):
        log_metrics({"good": 1.0, "bad": value})  # type: ignore[dict-item]
    assert get_run(run.id).metrics == {}


@pytest.mark.parametrize(
    "place",
    [{"step": 0.5}, {"step": "1"}, {"step": 2**63}, {"timestamp": -(2**70)}],
    ids=["part", "text", "long", "time"],
)
def test_a_step_or_time_that_is_none_is_refused_and_harms_no_other_point(place: dict[str, object]) -> None:
    with start_run() as run:
        log_metric("m", 1)
        with pytest.raises(TrackingError, match="whole number"):
            log_metric("m", 2, **place)  # type: ignore[arg-type]
        with pytest.raises(TrackingError, match="one number"):
            log_metric("m", 10**400)
        run.writer.flush()
        log_metric("m", 3)
    assert metric_history(run.id, "m").values.tolist() == [1.0, 3.0]
    assert metric_history(run.id, "m").steps.tolist() == [0, 1]


def test_artifacts_land_below_their_run_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "plots"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    with start_run() as run:
        log_artifact(folder / "a.txt", to="figures")
        log_artifacts(folder)
        log_text("hello", "notes/first.md")
        log_dict({"a": [1]}, "config.json")
        files = {artifact.path for artifact in list_artifacts(run.id)}
        assert files == {"figures/a.txt", "plots/a.txt", "notes/first.md", "config.json"}
        for bad in ("../x", "/etc/x", "a/../../x", "", "a\0b"):
            with pytest.raises(ArtifactError):
                log_text("x", bad)
        with pytest.raises(ArtifactError, match="not a file"):
            log_artifact(tmp_path / "missing")
        (folder / "out").symlink_to("/etc/hostname")
        with pytest.raises(ArtifactError, match="links out"):
            log_artifacts(folder, to="again")
        with pytest.raises(TrackingError, match="JSON"):
            log_dict({"a": object()}, "x.json")


@track
def train(alpha: float, l1: float = 0.5, data: object = None) -> str:
    """Docstring of train."""
    log_metric("rmse", alpha)
    run = current_run()
    assert run
    return run.id


@track(experiment="wine", name="named", tags={"a": 1}, log_params=False)
def named() -> str:
    run = current_run()
    assert run
    return run.id


def test_track_makes_each_call_a_run_and_keeps_the_function() -> None:
    first, second = train(0.1, data=np.zeros(3)), train(0.2, l1=0.7)
    assert train.__name__ == "train"
    assert train.__doc__ == "Docstring of train."
    assert get_run(first).params == {"alpha": "0.1", "l1": "0.5"}
    assert get_run(second).params == {"alpha": "0.2", "l1": "0.7", "data": "None"}
    assert get_run(first).source.entry_point == f"{__name__}.train"
    assert current_run() is None
    run = get_run(named())
    assert (run.name, run.experiment, run.tags, run.params) == ("named", "wine", {"a": "1"}, {})


def test_a_wrong_call_raises_pythons_own_error_and_leaves_a_failed_run() -> None:
    with pytest.raises(TypeError, match="alpha"):
        train()  # type: ignore[call-arg]
    assert [run.status for run in search_runs()] == ["Failed"]


def test_coroutines_each_have_their_run() -> None:
    @track
    async def work(n: int) -> str:
        await asyncio.sleep(0.01)
        log_metric("n", n)
        run = current_run()
        assert run
        return run.id

    async def main() -> list[str]:
        return await asyncio.gather(*(work(n) for n in range(5)))

    ids = asyncio.run(main())
    assert [get_run(i).metrics for i in ids] == [{"n": float(n)} for n in range(5)]


def test_generators_have_their_run_only_while_their_body_executes() -> None:
    @track
    def produce(n: int) -> Iterator[int]:
        for i in range(n):
            log_metric("i", i)
            yield i

    seen = []
    for i in produce(3):
        seen.append(i)
        assert current_run() is None
    assert seen == [0, 1, 2]
    assert search_runs()[0].metrics == {"i": 2.0}
    half = produce(3)
    next(half)
    half.close()
    assert search_runs("metrics.i = 0")[0].status == "Cancelled"


def test_a_tracked_generator_takes_what_is_sent_and_thrown() -> None:
    @track
    def echo() -> Iterator[object]:
        got: object = None
        while True:
            try:
                got = yield got
            except KeyError:
                got = "caught"

    generator = echo()
    assert next(generator) is None
    assert generator.send("x") == "x"  # type: ignore[attr-defined]
    assert generator.throw(KeyError()) == "caught"  # type: ignore[attr-defined]
    generator.close()  # type: ignore[attr-defined]


def test_async_generators() -> None:
    @track
    async def produce(n: int) -> AsyncIterator[int]:
        for i in range(n):
            log_metric("i", i)
            yield i

    async def main() -> list[int]:
        return [i async for i in produce(3)]

    assert asyncio.run(main()) == [0, 1, 2]
    assert search_runs()[0].metrics == {"i": 2.0}
    assert search_runs()[0].status == "Completed"


def test_a_raw_thread_logs_through_the_run_that_it_is_handed() -> None:
    with start_run() as run:
        thread = threading.Thread(target=lambda: [log_metric("t", i, run=run) for i in range(100)])
        thread.start()
        thread.join()
    assert get_run(run.id).metrics == {"t": 99.0}


def test_a_tracked_function_can_be_pickled_by_value() -> None:
    namespace: dict[str, object] = {}
    exec("from prefect_ml import track\n@track\ndef f(x):\n    return x", namespace)
    copy = pickle.loads(cloudpickle.dumps(namespace["f"]))
    assert copy(3) == 3


def test_track_refuses_what_it_cannot_track() -> None:
    with pytest.raises(SettingsError, match="not int"):
        track(3)


def test_a_run_id_from_outside_is_joined_and_left_open(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    with start_run(name="owner", experiment="wine") as owner:
        code = (
            "from prefect_ml import log_metric, log_param, start_run\n"
            "with start_run(name='inner'): log_metric('m', 1); log_param('p', 1)"
        )
        env = {**__import__("os").environ, "PREFECT_ML_RUN_ID": owner.id}
        subprocess.run([sys.executable, "-c", code], env=env, check=True)
        assert get_run(owner.id).status == "Running"
    found = get_run(owner.id)
    assert (found.status, found.metrics, found.params) == ("Completed", {"m": 1.0}, {"p": "1"})
    assert len(search_runs()) == 1
    monkeypatch.setenv("PREFECT_ML_RUN_ID", owner.id)
    with pytest.raises(RunClosed, match="Completed"), start_run():
        pass
    monkeypatch.setenv("PREFECT_ML_RUN_ID", "nobody")
    with pytest.raises(RunNotFound), start_run():
        pass


def test_commit_and_state_of_the_repository_are_recorded(tmp_path: Path, home: Path) -> None:
    repository = tmp_path / "project"
    repository.mkdir()
    (repository / "train.py").write_text(
        "from prefect_ml import track, current_run\n@track\ndef f(): return current_run().id\nprint(f())\n"
    )

    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(
            ["git", *identity, *words], cwd=repository, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    command = [sys.executable, "train.py"]
    clean = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout.strip()
    (repository / "train.py").open("a").write("# changed\n")
    dirty = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout.strip()
    source = get_run(clean).source
    assert (source.commit, source.dirty, source.project) == (git("rev-parse", "HEAD"), False, str(repository))
    assert get_run(dirty).source.dirty is True


def test_the_front_door_is_frozen_and_light() -> None:
    assert list(prefect_ml.__all__) == sorted(prefect_ml.__all__)
    for name in prefect_ml.__all__:
        assert callable(getattr(prefect_ml, name)) or name == "space", name
    code = (
        "import sys, prefect_ml\n"
        "heavy = {'prefect', 'sqlalchemy', 'pandas', 'numpy', 'bentoml', 'alembic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "with prefect_ml.start_run() as run: prefect_ml.log_metric('m', 1)\n"
        "assert 'prefect' not in sys.modules and 'pandas' not in sys.modules and 'bentoml' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_empty_path_is_refused_and_harms_no_other_artifact() -> None:
    with start_run() as run:
        with pytest.raises(ArtifactError, match="not a path"):
            log_text("x", "")
        log_text("y", "ok.txt")
    assert [artifact.path for artifact in list_artifacts(run.id)] == ["ok.txt"]


def test_what_is_no_mapping_or_no_text_is_refused_in_one_sentence() -> None:
    with start_run():
        for call in (
            lambda: log_params([1]),
            lambda: log_metrics([1]),
            lambda: set_tags("x"),
            lambda: log_text(5, "t.txt"),
        ):
            with pytest.raises(TrackingError, match="not"):
                call()


def test_the_same_number_written_otherwise_is_the_same_param(store: Store) -> None:
    with start_run() as run:
        log_params({"alpha": "0.10", "kind": "1e3"})
        with start_run(run_id=run.id):
            log_params({"alpha": 0.1, "kind": 1000.0})
        with pytest.raises(ParamConflict):
            log_params({"alpha": 0.2})
    assert get_run(run.id).params == {"alpha": "0.10", "kind": "1e3"}


def test_a_process_that_was_told_its_run_logs_into_it_without_opening_anything(store: Store) -> None:
    code = "from prefect_ml import log_metric, log_param; log_param('a', 1); [log_metric('m', i) for i in range(3)]"
    with start_run() as run:
        environ = {**os.environ, "PREFECT_ML_RUN_ID": run.id}
        subprocess.run([sys.executable, "-c", code], env=environ, check=True)
        assert get_run(run.id).status == "Running"
    found = get_run(run.id)
    assert (found.status, found.params, found.metrics) == ("Completed", {"a": "1"}, {"m": 2.0})
    assert len(search_runs()) == 1
