"""Entry points of projects as Prefect flows: typed, deployed, nested, on any task runner, and cancelled."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from prefect.utilities.importtools import import_object

from prefect_ml import project_flow
from prefect_ml.errors import EnvironmentFailed, ProjectError
from prefect_ml.flows.projects import initialise
from prefect_ml.flows.projects.deployed import flow_path
from prefect_ml.flows.projects.logs import joined

MLPROJECT = """\
name: wine/red
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.10}
      n-trees: int
      class: {type: string, default: a}
      data: {type: path, default: train.py}
    command: "python train.py {alpha} {n-trees} {class} {data}"
  tools/clean.sh: {command: "echo clean"}
  sleep:
    command: |
      setsid bash -c 'trap "" TERM; echo $$ > pid.deaf; sleep 600; sleep 600' &
      echo $$ > pid.shell; sleep 600
  flaky: {command: "[ -e tried ] || { touch tried; exit 1; }"}
"""
TRAIN = "import sys\nprint('seen', *sys.argv[1:])\nprint('oh', file=sys.stderr)\n"


STEP = "prefect_ml.flows.projects.work_pools.build_image"


@pytest.fixture
def wine(tmp_path: Path) -> Path:
    folder = tmp_path / "wine"
    folder.mkdir()
    (folder / "MLproject").write_text(MLPROJECT)
    (folder / "train.py").write_text(TRAIN)
    return folder


def test_a_flow_of_an_entry_point_has_its_parameters(home: Path, wine: Path) -> None:
    flow = project_flow(str(wine))
    signature = inspect.signature(flow.fn)
    assert str(signature).startswith("(n_trees: int, alpha: float = 0.1, class_: str = 'a', data: str = 'train.py')")
    assert flow.name == "wine-red-main"
    schema = flow.parameters
    assert {name: one["type"] for name, one in schema.properties.items()} == {
        "n_trees": "integer", "alpha": "number", "class_": "string", "data": "string",
    }  # fmt: skip
    assert schema.required == ["n_trees"]
    assert project_flow(str(wine), "tools/clean.sh").name == "wine-red-tools-clean.sh"
    with pytest.raises(ProjectError, match="no entry point 'mian'"):
        project_flow(str(wine), "mian")


RUN = """
import json, os, sys, time
os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter
from prefect_ml import get_run, run_project
done = run_project(sys.argv[1], params={"n-trees": "007", "extra": "x y"}, environment="system")
with get_client(sync_client=True) as client:
    run = client.read_flow_run(done.run_id)
    wanted = LogFilter(flow_run_id={"any_": [done.run_id]})
    for _ in range(100):
        logs = [line for log in client.read_logs(wanted) for line in log.message.splitlines()]
        if "oh" in logs: break
        time.sleep(.1)
tracked = get_run(done.run_id)
print(json.dumps([done.flow_run_id == done.run_id, run.state_name, run.parameters, logs,
                  tracked.params, tracked.name, tracked.status]))
"""


def test_a_run_is_a_flow_run_where_a_server_is_known(
    in_prefect: Callable[..., Any], tmp_path: Path, wine: Path
) -> None:
    same, state, parameters, logs, params, name, status = in_prefect(RUN, tmp_path, str(wine))
    assert (same, state, name, status) == (True, "Completed", "wine/red-main", "Completed")
    assert parameters == {"n_trees": 7, "alpha": 0.1, "class_": "a", "data": "train.py", "extra": "x y"}
    assert params == {"alpha": "0.10", "n-trees": "007", "class": "a", "data": "train.py", "extra": "x y"}
    assert any(line.startswith("seen 0.10 007 a ") for line in logs)
    assert "oh" in logs


def test_what_is_wrong_stands_on_the_terminal_once_and_whole_in_the_log_of_prefect(laptop: Any, wine: Path) -> None:
    (wine / "MLproject").write_text("entry_points: {main: {command: rscript-of-nobody}}\n")
    undeclared = laptop.run("run", str(wine))
    assert undeclared.stderr.startswith(f"Error: The project {wine} declares no environment")
    assert len(undeclared.stderr.splitlines()) == 1, "before any flow run starts"
    failed = laptop.run("run", str(wine), "--environment", "system")
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    sentence = f"The entry point 'main' of {wine} failed: its command ended with exit code 127"
    assert failed.stderr.count(sentence) == 1
    assert f"Error: {sentence}, for there is no program 'rscript-of-nobody'" in failed.stderr
    run_id = re.findall(r"/flow-run/(\S+)", failed.stderr)[0]
    wanted = {"logs": {"flow_run_id": {"any_": [run_id]}, "level": {"ge_": 40}}}
    with httpx.Client(timeout=60) as client:
        for _ in range(100):
            logs = client.post(f"{laptop.api_url}/logs/filter", json=wanted).json()
            if logs:
                break
            time.sleep(0.1)
    assert "Traceback" in logs[0]["message"]


CALLS_A_FLOW = """
import json, os
from prefect import flow
from prefect.runtime import flow_run
@flow
def inner(): return flow_run.get_id()
if __name__ == "__main__":
    print(json.dumps([os.environ.get("PREFECT_API_URL"), inner()]))
"""
RUN_SCRIPT = """
import prefect, sys
from prefect_ml import run_project
run_project(sys.argv[1], entry_point="train.py", environment="system", report=print)
"""


def test_a_script_finds_the_server_that_up_started(laptop: Any, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "train.py").write_text(CALLS_A_FLOW)
    # Prefect is imported before, and knows no server: whoever starts the script has no flow run.
    environ = {**laptop.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    command = [sys.executable, "-c", RUN_SCRIPT, str(tmp_path / "p")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    url, inner = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[")))
    assert url == laptop.api_url
    assert httpx.get(f"{url}/flow_runs/{inner}", timeout=60).json()["state"]["type"] == "COMPLETED"


NESTED = """
import asyncio, json, sys
from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from prefect_ml import get_run, project_flow, search_runs, track

train = project_flow(sys.argv[1], environment="system", experiment="nested")

@task
def trained(n):
    found = train(n_trees=n)
    assert found.flow_run_id == found.run_id, "of the flow, and not of the task that calls it"
    return found.run_id

@track
@flow
def parent():
    return train(n_trees=1).run_id

@track
@flow
async def async_parent():
    return train(n_trees=2).run_id

def many(runner):
    @flow(task_runner=runner)
    def spread(): return [one.result() for one in trained.map([3, 4])]
    return spread()

def failed():
    late = project_flow(sys.argv[1], "sleep", environment="system", timeout_seconds=3)(return_state=True)
    again = project_flow(sys.argv[1], "flaky", environment="system", retries=1)().run_id
    return late, again

if __name__ == "__main__":
    late, again = failed()
    found = {"parent": parent(), "async": asyncio.run(async_parent()),
             "threads": many(ThreadPoolTaskRunner(2)), "processes": many(ProcessPoolTaskRunner(2))}
    runs = {run.id: run for run in search_runs("", experiments=["nested"])}
    print(json.dumps({
        "own parents": [get_run(runs[found[name]].parent_id).name for name in ("parent", "async")],
        "trees": [sorted(runs[one].params["n-trees"] for one in found[name]) for name in ("threads", "processes")],
        "statuses": sorted({run.status for run in runs.values()}),
        "all": len(runs),
        "late": [late.name, get_run(str(late.state_details.flow_run_id)).status],
        "again": [get_run(again).attempt, get_run(again).status],
    }))
"""


def test_flows_of_projects_nest_and_spread(in_prefect: Callable[..., Any], tmp_path: Path, wine: Path) -> None:
    found = in_prefect(NESTED, tmp_path, str(wine))
    assert found["own parents"] == ["parent", "async_parent"]
    assert found["trees"] == [["3", "4"], ["3", "4"]]
    assert found["statuses"] == ["Completed"]
    assert found["all"] == 6
    assert found["late"] == ["TimedOut", "Failed"]
    assert found["again"] == [2, "Completed"], "a retry is another attempt of the same run"
    assert_gone(wine)


def assert_gone(wine: Path) -> None:
    pids = [int((wine / f"pid.{name}").read_text()) for name in ("shell", "deaf")]
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_deployments_of_entry_points_run_and_are_cancelled(laptop: Any, wine: Path, tmp_path: Path) -> None:
    (wine / "requirements.txt").write_text("tabulate==0.9.0\n")
    environ = {**laptop.environ, "PREFECT_API_URL": laptop.api_url, "PREFECT_HOME": str(tmp_path / "prefect")}
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=wine, env=environ, capture_output=True, text=True, check=False, timeout=300)

    assert "deploy with:" in laptop.run("init", str(wine)).stdout
    deployed = run("prefect", "--no-prompt", "deploy", "--all")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    wrong = run("prefect", "deployment", "run", "wine-red-main/main", "-p", "n_trees=five")
    assert wrong.returncode == 1
    assert "'five' is not of type 'integer'" in wrong.stdout
    (tmp_path / "script.py").write_text(DEPLOYED)
    done = run(sys.executable, str(tmp_path / "script.py"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["states"] == ["Completed", "Completed", "Cancelled"]
    assert found["runs"] == [
        ["wine/red-main", "Completed", {"alpha": "0.3", "n-trees": "5", "class": "a", "data": "train.py"}],
        ["wine/red-tools/clean.sh", "Completed", {}],
        ["wine/red-sleep", "Cancelled", {}],
    ]
    assert_gone(wine)


DEPLOYED = """
import json, time
from pathlib import Path
from prefect.client.orchestration import get_client
from prefect.states import Cancelling
from prefect_ml import get_run

with get_client(sync_client=True) as client:
    def start(name, **params):
        return client.create_flow_run_from_deployment(client.read_deployment_by_name(name).id, parameters=params).id

    def ended(run):
        while not (state := client.read_flow_run(run).state).is_final():
            time.sleep(.2)
        return state.name

    runs = [start("wine-red-main/main", n_trees=5, alpha=0.3), start("wine-red-tools-clean.sh/tools-clean.sh"),
            start("wine-red-sleep/sleep")]
    while not all(Path(f"pid.{name}").exists() for name in ("shell", "deaf")):
        time.sleep(.2)
    client.set_flow_run_state(runs[-1], Cancelling())
    states = [ended(run) for run in runs]
tracked = [get_run(str(run)) for run in runs]
print(json.dumps({"states": states, "runs": [[run.name, run.status, run.params] for run in tracked]}))
"""


def test_an_init_writes_what_deploys_and_nothing_over_what_is_there(home: Path, wine: Path, tmp_path: Path) -> None:
    (wine / "requirements.txt").write_text("tabulate==0.9.0\n")
    written = yaml.safe_load(initialise(wine).read_text())
    assert written["name"] == "wine-red"
    assert [one["name"] for one in written["deployments"]] == ["main", "tools-clean.sh", "sleep", "flaky"]
    assert {one["work_pool"]["name"] for one in written["deployments"]} == {"ml"}
    (wine / "prefect.yaml").write_text("mine: 1\n")
    with pytest.raises(ProjectError, match=r"prefect\.yaml exists; edit it, or write it anew with --overwrite"):
        initialise(wine)
    assert (wine / "prefect.yaml").read_text() == "mine: 1\n"
    assert "deployments" in initialise(wine, pool="other", overwrite=True).read_text()
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    with pytest.raises(ProjectError, match="has nothing to deploy"):
        initialise(scripts)
    assert list(scripts.iterdir()) == []
    (scripts / "one.py").write_text("print(1)\n")
    (scripts / "requirements.txt").touch()
    (entry,) = yaml.safe_load(initialise(scripts).read_text())["deployments"]
    assert entry["entrypoint"] == "prefect_ml.flows.projects.deployed.one%2Epy"
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "train.py").write_text("from prefect import flow\n@flow\ndef digits(n: int = 1): ...\n")
    (flows / "requirements.txt").touch()
    (entry,) = yaml.safe_load(initialise(flows).read_text())["deployments"]
    assert entry["entrypoint"] == "train.py:digits"
    assert "prefect_ml.environments.steps.enter_project" in str(entry["pull"])


def test_an_init_takes_the_interpreter_at_hand_only_when_it_is_told_to(home: Path, wine: Path, tmp_path: Path) -> None:
    (wine / "train.py").write_text("from prefect import flow\n@flow\ndef digits(n: int = 1): ...\n")
    with pytest.raises(EnvironmentFailed, match=r"declares no environment: write .* or run it in .* the kind `system`"):
        initialise(wine)
    assert not (wine / "prefect.yaml").exists()
    text = initialise(wine, environment="system").read_text()
    assert "# Runs start in the interpreter of the worker" in text
    written = {one["name"]: one for one in yaml.safe_load(text)["deployments"]}
    assert written["main"]["entrypoint"] == "prefect_ml.flows.projects.deployed.main@system"
    assert written["digits"]["entrypoint"] == "train.py:digits"
    for one in written.values():
        (step,) = one["build"]
        assert step["prefect_ml.flows.projects.deployed.check_project"]["environment"] == "system"


def test_an_init_for_containers_builds_an_image_unless_the_project_brings_one(
    home: Path, wine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wine / "requirements.txt").write_text("tabulate==0.9.0\n")
    written = yaml.safe_load(initialise(wine, pool="containers", image="example.com/team/wine").read_text())
    (build,), (push,) = written["build"], written["push"]
    assert build == {STEP: {"id": "build_image", "name": "example.com/team/wine"}}
    assert "prefect_docker.deployments.steps.push_docker_image" in push
    assert [one["name"] for one in written["deployments"]] == ["main", "tools-clean.sh", "sleep", "flaky"]
    assert {one["work_pool"]["name"] for one in written["deployments"]} == {"containers"}
    monkeypatch.setenv("PREFECT_ML_STORE_URL", "postgresql+psycopg://ml:hunter2@db.example.com/ml")
    text = initialise(wine, image="wine", environment="system", overwrite=True).read_text()
    assert "hunter2" not in text
    written = yaml.safe_load(text)
    about = {"id": "build_image", "name": "wine", "environment": "system", "packages": ["psycopg[binary]"]}
    assert (written["build"], "push" in written) == ([{STEP: about}], False)
    assert written["deployments"][0]["entrypoint"].endswith(".main@system")
    (wine / "requirements.txt").unlink()
    (wine / "Dockerfile").write_text("FROM python:3.11\n")
    with pytest.raises(ProjectError, match=r"Dockerfile declares an image, .*: leave --image out"):
        initialise(wine, image="wine", overwrite=True)
    assert (wine / "prefect.yaml").read_text() == text
    assert "check_project" in initialise(wine, overwrite=True).read_text(), "the worker starts its container"


@pytest.mark.parametrize("name", ["main", "train.py", "tools/clean.sh", "a b", "ü%2F", "1", "x__y"])
def test_an_entry_point_of_any_name_has_a_path_that_prefect_can_read(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    points = {"entry_points": {name: {"command": "true"}}}
    (tmp_path / "MLproject").write_text(yaml.safe_dump(points, allow_unicode=True))
    monkeypatch.chdir(tmp_path)
    assert (
        import_object(flow_path(name)).fn.__doc__ == f"Run the entry point {name!r} of the project {tmp_path.name!r}."
    )
    with pytest.raises(AttributeError, match="no entry point 'none'"):
        import_object(flow_path("none"))
    assert import_object(flow_path(name, "system")).fn.__doc__.endswith(f"project {tmp_path.name!r}.")


NATIVE = """
from prefect import flow, task
import prefect_ml

@task
def add(a, b): return a + b

@flow
def plain(n: int, words: list[str] = ["a"]):
    print("seen", n, words)
    prefect_ml.log_metric("n", n)
    return {"sum": add(n, 1)}

@prefect_ml.track(experiment="own")
@flow
async def tracked(): return object()

@flow
def sleeps():
    import subprocess
    subprocess.run("setsid bash -c 'trap : TERM; echo $$ > pid.deaf; sleep 600; sleep 600' & "
                   "echo $$ > pid.shell; sleep 600", shell=True)
"""
RUN_NATIVE = """
import json, sys
from prefect.client.orchestration import get_client
from prefect_ml import get_run, list_artifacts, run_project, search_runs
from prefect_ml.errors import ProjectError, ProjectRunFailed

def run(name, **more):
    done = run_project(sys.argv[1], entry_point=name, environment="system", report=lambda _: None, **more)
    return done, get_run(done.run_id)

done, plain = run("plain", params={"n": "3", "words": '["x", "y"]'}, experiment="asked")
other, tracked = run("train.py:tracked")
said = []
for name, more in {"plain": {"params": {"words": "3", "m": 1, "k": 1}}, "sleeps": {"timeout": 12}}.items():
    try:
        run(name, **more)
    except (ProjectError, ProjectRunFailed) as error:
        said.append([type(error).__name__, str(error)])
late = [one for one in search_runs("") if one.name == "sleeps"]
with get_client(sync_client=True) as client:
    states = [(state.type, state.name) for one in late if (state := client.read_flow_run(one.id).state)]
kept = [one.path for run in late for one in list_artifacts(run.id) if one.path.startswith("project/")]
print(json.dumps({
    "plain": [done.result, done.flow_run_id == done.run_id, plain.status, plain.metrics,
              plain.params, plain.experiment],
    "source": [plain.source.project, plain.source.entry_point, plain.source.environment.partition(":")[0]],
    "artifacts": [one.path for one in list_artifacts(plain.id) if one.path == "project/output.txt"],
    "tracked": [other.result, tracked.status, tracked.experiment],
    "names": sorted(one.name for one in search_runs("")),
    "late": [[one.status for one in late], states, sorted(kept)],
    "said": said,
}))
"""


def test_flows_of_a_project_are_tracked_once_with_their_source(in_prefect: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "native"
    folder.mkdir()
    (folder / "train.py").write_text(NATIVE)
    found = in_prefect(RUN_NATIVE, tmp_path, str(folder))
    assert found["plain"][:4] == [{"sum": 4}, True, "Completed", {"n": 3.0}]
    assert found["plain"][4:] == [{"n": "3", "words": "['x', 'y']"}, "asked"]
    assert found["source"] == [str(folder), "train.plain", "system"]
    assert found["artifacts"] == ["project/output.txt"]
    assert found["tracked"] == [None, "Completed", "own"]
    assert found["names"] == ["plain", "sleeps", "tracked"]
    assert [kind for kind, _ in found["said"]] == ["ProjectError", "ProjectRunFailed"]
    assert found["said"][0][1].startswith(
        "The flow 'plain' has no parameter 'k' or 'm'; it has n, words; it needs the parameter 'n'; give it with -P"
        " n=VALUE; it cannot take words: "
    )
    assert "it ran for longer than 12 seconds" in found["said"][1][1]
    assert found["late"][:2] == [["Failed"], [["FAILED", "TimedOut"]]], "like a command that takes too long"
    assert "project/output.txt" in found["late"][2]
    assert_gone(folder)


def test_lines_that_come_together_are_one_record_of_the_log() -> None:
    records: list[str] = []
    with joined(records.append) as log:
        for number in range(100_000):
            log(str(number))
    assert "\n".join(records).split("\n") == [str(number) for number in range(100_000)]
    assert len(records) < 50
    assert max(map(len, records)) <= 50_000
