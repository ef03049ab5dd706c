"""Sweeps: what is searched and how, each trial once whatever dies, pruning, failures, and Prefect's view of them."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_ml import (
    count_runs,
    current_run,
    get_run,
    list_artifacts,
    log_metric,
    metric_history,
    search_runs,
    should_prune,
    space,
    start_run,
    sweep,
    track,
)
from prefect_ml.errors import ProjectError, ProjectRunFailed, RunNotFound
from prefect_ml.flows.sweeps.plan import trial_id

PLANE = {"x": space.uniform(-1, 1), "n": range(5)}


def bowl(x: float, n: int) -> float:
    """The lowest point is at x = 0.25, n = 3."""
    return (x - 0.25) ** 2 + (n - 3) ** 2


def numbers(result: Any) -> list[int]:
    return [int(run.tags["trial"]) for run in result.trials]


@pytest.mark.parametrize(
    ("database", "method", "runner"),
    [("sqlite", "tpe", None), ("sqlite", "random", "threads"), ("postgresql", "tpe", "threads")],
    indirect=["database"],
)
def test_a_function_is_swept_without_prefect(home: Path, method: str, runner: str | None) -> None:
    result = sweep(bowl, PLANE, method=method, trials=12, parallel=3, seed=4, task_runner=runner, experiment="bowls")
    assert numbers(result) == list(range(12))
    assert {run.status for run in result.trials} == {"Completed"}
    assert {(run.parent_id, run.experiment, run.attempt) for run in result.trials} == {(result.run_id, "bowls", 1)}
    values = [run.metrics["objective"] for run in result.trials]
    assert result.best_value == min(values) == pytest.approx(bowl(**result.best_params))
    assert type(result.best_params["n"]) is int
    swept = get_run(result.run_id)
    assert (swept.status, swept.metrics) == ("Completed", {"best/objective": result.best_value})
    assert swept.tags["best_run"] == result.best.id
    assert swept.params["method"] == method
    assert json.loads(swept.params["space"]) == {"x": {"uniform": [-1, 1]}, "n": {"integers": [0, 4, 1]}}
    assert any("12-runs" in one.path for one in list_artifacts(result.run_id, path="comparisons"))
    assert result.counts == {"completed": 12, "pruned": 0, "failed": 0}


def test_prefect_stays_out_where_it_has_no_api(home: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom prefect_ml import sweep\n"
        "print(sweep(lambda x: x, {'x': [3, 1, 2]}, method='grid').best_params)\nassert 'prefect' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("{'x': 1}\n", 0), done.stderr


def test_a_grid_is_every_combination_once(home: Path) -> None:
    axes = {"a": [0.1, "b", None, True], "n": range(0, 6, 3), "u": space.uniform(0, 1, step=0.5)}
    result = sweep(lambda a, n, u: n + u, axes, method="grid", trials=100, direction="maximize", parallel=2)
    tried = [(run.params["a"], run.params["n"], run.params["u"]) for run in result.trials]
    assert len(tried) == len(set(tried)) == 24
    assert {a for a, _, _ in tried} == {"0.1", "b", "None", "True"}
    assert (result.best_params["n"], result.best_params["u"]) == (3, 1.0)
    assert result.best_params["a"] in (0.1, "b", None, True)


def test_random_trials_depend_on_seed_and_number_only(home: Path) -> None:
    def tried(**options: Any) -> list[Any]:
        return [run.params for run in sweep(bowl, PLANE, method="random", seed=7, **options).trials]

    assert tried(trials=6) == tried(trials=9, parallel=3)[:6]


@pytest.mark.parametrize(
    ("axes", "options", "said"),
    [
        ({}, {}, "needs a space"),
        ({"x": 3, "n": [1]}, {}, "parameter 'x' of the space is int"),
        ({"x": [], "n": [1]}, {}, "'x' of the space offers no value"),
        ({"x": [1, "1"], "n": [1]}, {}, "'x' of the space offers a value twice"),
        ({"x": [object()], "n": [1]}, {}, "'x' of the space offers <object"),
        ({"x": space.uniform(1, 0), "n": [1]}, {}, "'x' of the space begins at 1 and ends at 0"),
        ({"x": space.loguniform(0, 1), "n": [1]}, {}, "'x' of the space begins at 0 or below"),
        ({"x": space.integers(0, 1.5), "n": [1]}, {}, "'x' of the space has limits or a step that are not whole"),
        ({"x": space.uniform(0, "b"), "n": [1]}, {}, "'x' of the space cannot be read"),
        ({"x": space.uniform(0, 1), "n": [1]}, {"method": "grid"}, "'x' has no end of values.*a step"),
        ({"x": space.loguniform(1, 2), "n": [1]}, {"method": "grid"}, "'x' has no end of values.*a list"),
        (PLANE, {"method": "best"}, "no method 'best'; use tpe, random or grid"),
        (PLANE, {"direction": "up"}, "no direction 'up'"),
        (PLANE, {"trials": 0}, "trials must be"),
        (PLANE, {"parallel": 0}, "parallel must be"),
        (PLANE, {"pruner": "sharp"}, "no pruner 'sharp'"),
        (PLANE, {"pruner": object()}, "a name or one of Optuna's"),
        (PLANE, {"task_runner": "cloud"}, "no task runner 'cloud'"),
        ({"x": [1]}, {}, "missing a required argument: 'n'"),
        ({**PLANE, "z": [1]}, {}, "unexpected keyword argument 'z'"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_sentence(
    home: Path, axes: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ProjectError, match=said) as caught:
        sweep(bowl, axes, **options)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert count_runs() == 0


def test_the_objective_is_the_last_value_logged_wherever_it_was_logged(home: Path) -> None:
    @track(experiment="tracked")
    def tracked(x: int, scale: float = 2.0) -> float:
        log_metric("rmse", 100.0)
        log_metric("rmse", x * scale)
        return -1.0

    def inside(x: int) -> None:
        with start_run(name="fold"):
            log_metric("rmse", x)

    async def later(x: int) -> float:
        return float(x)

    result = sweep(tracked, {"x": [3, 1, 2]}, method="grid", objective="metrics.rmse")
    assert (result.best_params, result.best_value, result.objective) == ({"x": 1}, 2.0, "rmse")
    assert result.best.experiment == "tracked"
    assert result.best.source.entry_point.endswith("tracked")
    assert search_runs(f"parent_id = '{result.best.id}'") == [], "its run is the trial's own"
    assert sweep(inside, {"x": [3, 1]}, method="grid", objective="rmse").best_value == 1.0
    assert sweep(later, {"x": [3, 1]}, method="grid").best_value == 1.0
    assert sweep(functools.partial(bowl, n=3), {"x": [0.5, 0.25]}, method="grid").best_value == 0.0


def test_failed_trials_count_and_stop_the_sweep_only_beyond_the_limit(home: Path) -> None:
    def brittle(x: int) -> Any:
        if x % 2:
            raise ValueError(f"{x} is odd")
        return {2: float("nan"), 4: "much"}.get(x, x)

    result = sweep(brittle, {"x": list(range(8))}, method="grid")
    assert result.counts == {"completed": 2, "pruned": 0, "failed": 6}
    assert [run.status for run in result.trials] == ["Completed", "Failed"] + ["Failed"] * 4 + ["Completed", "Failed"]
    assert result.best_value == 0.0
    with pytest.raises(ProjectRunFailed, match="3 trials have failed, and 2 may") as caught:
        sweep(brittle, {"x": list(range(8))}, method="grid", max_failures=2)
    assert caught.value.exit_code == 1
    (swept,) = search_runs("tags.sweep = 'true'", order_by=["started_at desc"], limit=1)
    assert swept.status == "Failed"
    assert count_runs(f"parent_id = '{swept.id}'") == 4, "no trial was begun after the third had failed"
    with pytest.raises(ProjectRunFailed, match="All 1 trials"):
        sweep(brittle, {"x": [1]}, method="grid")
    resumed = sweep(brittle, resume=swept.id)
    assert resumed.counts == {"completed": 2, "pruned": 0, "failed": 6}
    assert {run.attempt for run in resumed.trials} == {1}, "no trial was run again"


def test_a_timeout_begins_no_more_trials_and_the_rest_can_be_made_later(home: Path) -> None:
    result = sweep(bowl, PLANE, trials=5, timeout=0)
    assert (len(result.trials), result.best) == (0, None)
    again = sweep(bowl, resume=result.run_id)
    assert (numbers(again), again.run_id) == (list(range(5)), result.run_id)
    assert get_run(result.run_id).status == "Completed"
    assert len(sweep(bowl, resume=result.run_id).trials) == 5, "there is nothing left to do"


def test_a_failed_sweep_says_what_the_first_trial_failed_with(home: Path) -> None:
    def brittle(x: int) -> int:
        if x:
            raise ValueError(f"{x} is\ntoo much")
        return x

    with pytest.raises(ProjectRunFailed, match=r"All 1 trials .* have failed; trial-0 with 'ValueError: 1 is'"):
        sweep(brittle, {"x": [1]}, method="grid")
    with pytest.raises(ProjectRunFailed, match="1 trials have failed, and 0 may; trial-1 with 'ValueError: 2 is'"):
        sweep(brittle, {"x": [0, 2]}, method="grid", max_failures=0)
    failed = search_runs("status = 'Failed' and tags.trial = '1'")[0]
    environ = {**os.environ, "COLUMNS": "200"}
    shown = subprocess.run(
        [sys.executable, "-m", "prefect_ml.cli", "runs", "show", failed.id],
        env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "ValueError: 2 is" in shown.stdout


def test_a_sweep_is_resumed_as_what_it_was(home: Path) -> None:
    result = sweep(bowl, PLANE, trials=2, seed=1)
    assert sweep(bowl, PLANE, trials=2, seed=1, method="tpe", resume=result.run_id).run_id == result.run_id
    with pytest.raises(ProjectError, match="has trials 2, not 3"):
        sweep(bowl, resume=result.run_id, trials=3)
    with pytest.raises(ProjectError, match="has direction minimize, not maximize"):
        sweep(bowl, resume=result.run_id, direction="maximize")
    with pytest.raises(ProjectError, match="is one of 'bowl', not of 'train'; begin another"):
        sweep(train, resume=result.run_id)
    with pytest.raises(ProjectError, match="is no sweep"):
        sweep(bowl, resume=result.trials[0].id)
    with pytest.raises(RunNotFound):
        sweep(bowl, resume="nothing")


SCRIPT = """
import os, sys, time
from pathlib import Path
from prefect_ml import current_run, log_metric, space, sweep

FOLDER = Path(sys.argv[1])

def work(x, folder):
    with open(Path(folder) / "calls", "a") as calls:
        calls.write(f"{current_run().id} {current_run().attempt} {os.getpid()}\\n")
    for step in range(4):
        log_metric("loss", x + step, step=step)
        time.sleep(0.05)

if __name__ == "__main__":
    axes = {"x": space.uniform(0, 1), "folder": [str(FOLDER)]}
    resume = (FOLDER / "sweep").read_text() if (FOLDER / "sweep").exists() else None
    sweep(work, axes, trials=12, parallel=2, objective="loss", seed=1, task_runner=sys.argv[2], resume=resume)
"""


class Script:
    """A sweep in a process of its own, which may be killed."""

    def __init__(self, folder: Path, runner: str) -> None:
        self.folder, self.runner = folder, runner
        self.children: list[subprocess.Popen[str]] = []
        (folder / "script.py").write_text(SCRIPT)

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, str(self.folder / "script.py"), str(self.folder), self.runner]
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.children.append(child)
        return child

    def calls(self) -> list[list[str]]:
        file = self.folder / "calls"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def wait_for_calls(self, count: int) -> None:
        child = self.children[-1]
        while len(self.calls()) < count:
            assert child.poll() is None, child.communicate()[1]
            time.sleep(0.02)

    def stop(self) -> None:
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@pytest.fixture
def script(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Iterator[Script]:
    made = Script(tmp_path, request.param)
    try:
        yield made
    finally:
        made.stop()


def check_trials(script: Script, count: int = 12) -> None:
    """Each trial has one result, and was begun again only where its process had died."""
    (swept,) = search_runs("tags.sweep = 'true'")
    assert swept.status == "Completed"
    trials = search_runs(f"parent_id = '{swept.id}'", limit=100)
    assert {run.id for run in trials} == {trial_id(swept.id, number) for number in range(count)}
    assert {run.status for run in trials} == {"Completed"}
    calls = [tuple(call[:2]) for call in script.calls()]
    assert len(calls) == len(set(calls)), "no attempt was made twice"
    for run in trials:
        *before, last = [int(attempt) for run_id, attempt in calls if run_id == run.id]
        assert last == run.attempt, "an attempt that ended is the last"
        assert before == sorted(before)  # one may have died before it called anything
        assert metric_history(run.id, "loss").steps.tolist() == [0, 1, 2, 3]
        assert run.metrics["loss"] == float(run.params["x"]) + 3


@pytest.mark.parametrize(
    ("database", "script"),
    [("sqlite", "threads"), ("sqlite", "processes"), ("postgresql", "processes")],
    indirect=True,
)
def test_a_sweep_whose_process_was_killed_is_resumed(script: Script) -> None:
    child = script.start()
    script.wait_for_calls(5)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    (swept,) = search_runs("tags.sweep = 'true'")
    finished = search_runs(f"parent_id = '{swept.id}' and status = 'Completed'")
    (script.folder / "sweep").write_text(swept.id)
    again = script.start()
    assert again.wait(60) == 0, again.communicate()[1]
    check_trials(script)
    assert all(get_run(run.id).attempt == 1 for run in finished), "what had ended was not run again"
    attempts = [run.attempt for run in search_runs(f"parent_id = '{swept.id}'")]
    assert 2 in attempts, "what was lost was run again"


@pytest.mark.parametrize("script", ["processes"], indirect=True)
def test_a_trial_whose_process_was_killed_is_run_again(script: Script) -> None:
    child = script.start()
    script.wait_for_calls(4)
    os.kill(int(script.calls()[-1][2]), signal.SIGKILL)
    assert child.wait(60) == 0, child.communicate()[1]
    check_trials(script)


def test_a_running_sweep_is_not_resumed_a_second_time(home: Path) -> None:
    go, begun = threading.Event(), threading.Event()
    ids: list[str] = []

    def slow(x: int) -> int:
        ids.append(get_run(current_run().id).parent_id)
        begun.set()
        assert go.wait(60)
        return x

    thread = threading.Thread(target=sweep, args=(slow, {"x": [1]}), kwargs={"method": "grid"})
    thread.start()
    try:
        assert begun.wait(60)
        with pytest.raises(ProjectError, match="is still running"):
            sweep(slow, resume=ids[0])
    finally:
        go.set()
        thread.join()
    assert count_runs(f"parent_id = '{ids[0]}'") == 1


def train(x: int, asks: bool, nested: bool) -> None:
    """Of four trials, the first three go down and the last goes up; it is told to stop, and does."""
    if nested:
        with start_run(name="inside"):
            return train(x, asks, nested=False)
    for step in range(400):
        log_metric("loss", (x if x == 9 else x / 10) + step * (x == 9), step=step)
        if asks and should_prune():
            return None
        if x == 9:
            time.sleep(0.05)
    return None


@pytest.mark.parametrize(("asks", "nested"), [(False, False), (True, False), (False, True)])
def test_a_bad_trial_is_pruned(home: Path, asks: bool, nested: bool) -> None:
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
    axes = {"x": [1, 2, 3, 9], "asks": [asks], "nested": [nested]}
    result = sweep(train, axes, method="grid", objective="loss", pruner=pruner)
    assert result.counts == {"completed": 3, "pruned": 1, "failed": 0}
    last = result.trials[-1]
    assert (last.status, last.tags["pruned"]) == ("Completed", "true")
    inner = search_runs(f"parent_id = '{last.id}'")
    assert [run.status for run in inner] == ["Completed"] * nested
    assert len(metric_history(inner[0].id if nested else last.id, "loss")) < 400
    assert result.best_value == pytest.approx(0.1)
    with pytest.raises(ProjectError, match="pruner of your own"):
        sweep(train, resume=result.run_id)
    assert sweep(train, resume=result.run_id, pruner=pruner).counts == result.counts


def test_outside_a_sweep_nothing_should_be_pruned(home: Path) -> None:
    assert not should_prune()
    with start_run():
        assert not should_prune()


PROJECT = """
name: hills
entry_points:
  main:
    parameters:
      x: float
      steps: {type: int, default: 3}
    command: "python climb.py {x} {steps}"
"""
CLIMB = """
import sys, time
from prefect_ml import log_metric, should_prune, start_run
with start_run():
    for step in range(int(sys.argv[2])):
        log_metric("height", float(sys.argv[1]) + step, step=step)
        if should_prune():
            sys.exit(7)
        if float(sys.argv[1]) < 0:
            time.sleep(0.05)
"""


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "hills"
    folder.mkdir()
    (folder / "MLproject").write_text(PROJECT)
    (folder / "climb.py").write_text(CLIMB)
    return folder


def test_a_project_is_swept_at_one_commit(home: Path, project: Path) -> None:
    git(project, "init")
    git(project, "add", ".")
    git(project, "commit", "-m", "first")
    uri = f"file://{project}/.git"
    options: dict[str, Any] = {"environment": "system", "objective": "height", "direction": "maximize"}
    result = sweep(uri, {"x": [0.5, 2]}, method="grid", parallel=2, timeout=0, **options)
    (project / "climb.py").write_text("raise SystemExit(1)")
    git(project, "commit", "-a", "-m", "second")
    result = sweep(uri, environment="system", resume=result.run_id)
    assert (result.best_params, result.best_value) == ({"x": 2}, 4.0)
    (inner,) = search_runs(f"parent_id = '{result.best.id}'")
    assert (inner.name, inner.metrics, inner.params["x"]) == ("hills-main", {"height": 4.0}, "2")
    assert inner.source.commit == get_run(result.run_id).params["version"]
    assert result.best.tags["objective_run"] == inner.id


def test_a_trial_of_a_project_is_pruned_in_its_own_process(home: Path, project: Path) -> None:
    import optuna

    pruner = optuna.pruners.ThresholdPruner(lower=0)
    options: dict[str, Any] = {"environment": "system", "objective": "height", "direction": "maximize"}
    axes = {"x": [1, -1000], "steps": [400]}
    result = sweep(project, axes, method="grid", pruner=pruner, **options)
    assert result.counts == {"completed": 1, "pruned": 1, "failed": 0}
    (inner,) = search_runs(f"parent_id = '{result.trials[1].id}'")
    assert len(metric_history(inner.id, "height")) < 400


def test_what_a_project_cannot_take_is_refused_before_anything_runs(home: Path, project: Path) -> None:
    with pytest.raises(ProjectError, match="x"):
        sweep(project, {"x": ["high", "low"]}, environment="system")
    with pytest.raises(ProjectError, match="no entry point 'other'"):
        sweep(project, {"x": [1.0]}, entry_point="other")
    with pytest.raises(ProjectError, match="leave the version out"):
        sweep(bowl, PLANE, version="v1")
    assert count_runs() == 0


IN_PREFECT = """
import json
from prefect import flow
from prefect_ml import log_metric, search_runs, space, sweep
from prefect_ml.store import as_json

def train(x, n):
    if n == 2:
        raise ValueError("two is too many")
    log_metric("loss", x + n)

@flow
def inner(x: float):
    return x * 2

@flow
def pipeline():
    return sweep(inner, {"x": [3.0, 1.0]}, method="grid")

if __name__ == "__main__":
    result = sweep(train, {"x": space.loguniform(0.1, 1), "n": range(3)}, trials=6, parallel=2, objective="loss",
                   method="random", seed=3, name="in prefect")
    below = pipeline()
    print(json.dumps({"sweep": result.run_id, "best": result.best.id, "counts": result.counts,
                      "below": below.run_id, "below_best": below.best_params,
                      "runs": {run.id: as_json(run) for run in search_runs(limit=100)}}))
"""


@pytest.fixture(scope="module")
def seen(in_prefect: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return in_prefect(IN_PREFECT, tmp_path_factory.mktemp("sweeps"))


TRIED_AGAIN = """
import _thread, json
from prefect import flow
from prefect_ml import log_metric, search_runs, sweep, track
from prefect_ml.store import as_json
from prefect_ml.store.reuses import reused_runs

calls, found, interrupted = [], [], []

def train(x, which):
    calls.append([which, x])
    if which == "tracked" and x == 2:
        raise RuntimeError("never")
    log_metric("loss", x)
    if which == "plain" and x == 2 and not interrupted:
        interrupted.append(x)
        _thread.interrupt_main()

def swept(which, **more):
    try:
        axes = {"x": [1, 2, 3], "which": [which]}
        found.append([which, sweep(train, axes, method="grid", objective="loss", name=which, **more).run_id])
    except BaseException as error:
        found.append([which, type(error).__name__])
        raise RuntimeError("the flow fails") from error

def told(flow):
    calls.clear(), found.clear()
    state = flow(return_state=True)
    sweeps = search_runs(f"tags.sweep = 'true' and name in ({', '.join(repr(name) for name, _ in found)})")
    parents = {run.parent_id for run in sweeps}
    return {"state": state.type.value, "calls": list(calls), "found": list(found),
            "sweeps": {run.id: as_json(run) for run in sweeps},
            "trials": {run.id: [as_json(one) for one in search_runs(f"parent_id = '{run.id}'", order_by=["name"])]
                       for run in sweeps},
            "reused": [one.run_id for parent in parents for one in reused_runs(parent)]}

@flow(retries=1)
def plain():
    swept("first")
    swept("plain")

@flow(retries=1)
@track(experiment="tracked")
def tracked():
    swept("twice")
    swept("twice")
    swept("tracked", max_failures=0)

if __name__ == "__main__":
    out = {"plain": told(plain), "tracked": told(tracked)}
    late = sweep(train, {"x": [1, 2, 3], "which": ["late"]}, method="grid", objective="loss", timeout=0,
                 name="late")
    again = sweep(train, resume=late.run_id)
    out["late"] = [late.run_id, again.run_id, [as_json(run) for run in again.trials]]
    print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def tried_again(in_prefect: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return in_prefect(TRIED_AGAIN, tmp_path_factory.mktemp("again"))


def test_a_flow_that_is_tried_again_goes_on_with_its_sweeps(tried_again: dict[str, Any]) -> None:
    told = tried_again["plain"]
    assert told["state"] == "COMPLETED"
    (_, first), (_, error), (_, again), (_, resumed) = told["found"]
    assert (first, error) == (again, "KeyboardInterrupt")
    assert told["calls"] == [["first", 1], ["first", 2], ["first", 3], ["plain", 1], ["plain", 2], ["plain", 3]]
    assert {(run_id, run["status"], run["attempt"]) for run_id, run in told["sweeps"].items()} == {
        (first, "Completed", 1),
        (resumed, "Completed", 1),
    }
    assert len({run["parent_id"] for run in told["sweeps"].values()} - {None}) == 1, "the run of the flow"
    for trials in told["trials"].values():
        assert [(one["name"], one["status"], one["attempt"]) for one in trials] == [
            (f"trial-{number}", "Completed", 1) for number in range(3)
        ]
    assert len({one["flow_run_id"] for one in told["trials"][resumed]}) == 2, "each flow run shows what it has run"
    assert set(told["reused"]) == {first, resumed}


def test_equal_sweeps_stay_apart_and_what_has_failed_stays_so_when_a_flow_is_tried_again(
    tried_again: dict[str, Any],
) -> None:
    told = tried_again["tracked"]
    assert told["state"] == "FAILED"
    (_, one), (_, other), *_ = told["found"]
    assert one != other
    assert told["found"] == [["twice", one], ["twice", other], ["tracked", "ProjectRunFailed"]] * 2
    assert told["calls"] == [["twice", 1], ["twice", 2], ["twice", 3]] * 2 + [["tracked", 1], ["tracked", 2]]
    assert sorted(len(trials) for trials in told["trials"].values()) == [2, 3, 3], "none is superseded"


def test_a_sweep_that_is_resumed_in_prefect_is_another_flow_run_and_the_same_run(
    laptop: Any, tried_again: dict[str, Any]
) -> None:
    begun, resumed, trials = tried_again["late"]
    assert resumed == begun
    assert {one["parent_id"] for one in trials} == {begun}
    (flow_run_id,) = {one["flow_run_id"] for one in trials}
    assert flow_run_id != begun
    flow_run = httpx.get(f"{laptop.api_url}/flow_runs/{flow_run_id}", timeout=30).json()
    assert (flow_run["name"], flow_run["state"]["type"]) == ("late", "COMPLETED")
    (progress,) = [one for one in asked(laptop, "artifacts", flow_run_id) if one["type"] == "progress"]
    assert (progress["key"], progress["data"]) == (f"sweep-{begun}", 100.0)


def asked(laptop: Any, what: str, flow_run_id: str) -> list[dict[str, Any]]:
    body = {what: {"flow_run_id": {"any_": [flow_run_id]}}, "limit": 100}
    kind = "artifacts" if what == "artifacts" else "task_runs"
    return httpx.post(f"{laptop.api_url}/{kind}/filter", json=body, timeout=30).json()


def test_in_prefect_a_sweep_is_a_flow_run_and_its_trials_are_task_runs(laptop: Any, seen: dict[str, Any]) -> None:
    run = httpx.get(f"{laptop.api_url}/flow_runs/{seen['sweep']}", timeout=30).json()
    assert (run["name"], run["state"]["type"]) == ("in prefect", "COMPLETED")
    trials = [one for one in seen["runs"].values() if one["parent_id"] == seen["sweep"]]
    assert len(trials) == 6
    assert {one["flow_run_id"] for one in trials} == {seen["sweep"]}
    states: dict[str, str] = {}
    for one in trials:
        task_run = httpx.get(f"{laptop.api_url}/task_runs/{one['task_run_id']}", timeout=30).json()
        assert task_run["name"] == one["name"]
        states[one["id"]] = task_run["state"]["name"]
    assert states == {one["id"]: one["status"] for one in trials}
    assert list(states.values()).count("Failed") == seen["counts"]["failed"] > 0


def test_the_prefect_ui_shows_progress_the_best_and_the_comparison(laptop: Any, seen: dict[str, Any]) -> None:
    artifacts = asked(laptop, "artifacts", seen["sweep"])
    (progress,) = [one for one in artifacts if one["type"] == "progress"]
    assert progress["data"] == 100.0
    assert progress["description"].startswith("6 of 6 trials")
    (table,) = [one for one in artifacts if one["type"] == "table"]
    assert json.loads(table["data"])[0]["run"] == seen["best"]
    assert any("6 runs" in (one["description"] or "") for one in artifacts if one["type"] == "markdown")


def test_a_flow_is_swept_inside_another_flow(laptop: Any, seen: dict[str, Any]) -> None:
    assert seen["below_best"] == {"x": 1.0}
    trials = [one for one in seen["runs"].values() if one["parent_id"] == seen["below"]]
    assert {one["metrics"]["objective"] for one in trials} == {6.0, 2.0}


def test_the_examples_of_the_page_run(home: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "sweeps.md").read_text()
    (tmp_path / "page.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.S)))
    done = subprocess.run([sys.executable, "page.py"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (swept,) = search_runs("tags.sweep = 'true'", experiments=["wine"])
    assert swept.name == "which penalty"
    assert swept.metrics["best/accuracy"] > 0.9
    found = search_runs(f"parent_id = '{swept.id}' and not tags.pruned = 'true'")
    assert max(run.metrics["accuracy"] for run in found) == swept.metrics["best/accuracy"]
