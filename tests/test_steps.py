"""Steps: what decides that one runs again, what is reused, and how both show."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefect_ml import delete_run, get_run, search_runs, start_run, step, submit_step
from prefect_ml.errors import ProjectError, ProjectRunFailed
from prefect_ml.flows.projects import StepRun
from prefect_ml.flows.projects.code_digest import code_of
from prefect_ml.settings import load_settings
from prefect_ml.store.reuses import reused_runs
from prefect_ml.store.run_artifacts import download_artifacts, list_artifacts

WORKFLOW = Path(__file__).parent / "projects" / "workflow"
COUNTS = 'name: counts\nentry_points:\n  count:\n    parameters:\n      n: {type: int, default: 1}\n    command: "%s"\n'
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def in_git(folder: Path) -> Path:
    git(folder, "init", "-qb", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


@pytest.fixture
def project(home: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "workflow"
    shutil.copytree(WORKFLOW, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def replace_in(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def counting(folder: Path, command: str = "echo {n} > n.txt") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "MLproject").write_text(COUNTS % command)
    return folder


def count(folder: Path | str, n: int = 1, **more: Any) -> StepRun:
    return step("count", {"n": n}, uri=str(folder), environment="system", **more)


def workflow(folder: Path | str, *, lowest: float = 0, alpha: float = 0.1, **more: Any) -> dict[str, StepRun]:
    """Run the steps of the sample, as its own flow does."""
    about: dict[str, Any] = {"uri": str(folder), "environment": "system", **more}
    raw = step("load_raw", code=["load_raw.py"], outputs=["raw.csv"], **about)
    given = {"raw": raw.output("raw.csv"), "lowest": lowest}
    rows = step("etl", given, code=["etl.py"], outputs=["clean"], **about)
    given = {"rows": rows.output("clean"), "alpha": alpha}
    return {"raw": raw, "rows": rows, "model": step("train", given, code=["train.py"], outputs=["model.txt"], **about)}


def ran(steps: dict[str, StepRun]) -> set[str]:
    return {name for name, one in steps.items() if not one.reused}


def test_each_change_runs_again_what_depends_on_it_and_nothing_else(project: Path, tmp_path: Path) -> None:
    first = workflow(project)
    assert ran(first) == {"raw", "rows", "model"}
    assert first["model"].run.metrics["slope"] == pytest.approx(2.0, abs=0.05)
    assert not (project / "raw.csv").exists(), "a step leaves nothing in the project"
    assert not any(project.glob("**/__pycache__"))
    text = Path(download_artifacts(first["rows"].run_id, "outputs/clean/rows.csv", to=tmp_path)).read_text()
    assert text.splitlines()[0] == "1.0,2.1"

    again = workflow(project)
    assert ran(again) == set()
    assert {name: one.run_id for name, one in again.items()} == {name: one.run_id for name, one in first.items()}

    assert ran(workflow(project, alpha=0.2)) == {"model"}, "one parameter"
    replace_in(project / "train.py", '"error"', '"mean error"')
    assert ran(workflow(project)) == {"model"}, "one file"
    replace_in(project / "etl.py", "Keeps", "Takes")
    assert ran(workflow(project)) == {"rows"}, "its output is the same, so that nothing below it runs"
    replace_in(project / "measurements.csv", "5,10.1", "5,10.2")
    assert ran(workflow(project)) == {"raw", "rows", "model"}, "an input at the same path"
    replace_in(project / "MLproject", "python train.py", "python -B train.py")
    assert ran(workflow(project)) == {"model"}, "one command"
    replace_in(project / "MLproject", "python workflow.py", "python -B workflow.py")
    assert ran(workflow(project)) == set(), "what the descriptor says of other entry points"
    (project / "notes.md").write_text("something else")
    assert ran(workflow(project)) == set(), "a file that no step names"


def test_the_declared_environment_counts(project: Path, home: Path, environments: Path) -> None:
    home.mkdir()
    (home / "environments").symlink_to(environments)
    counting(project, "python -c 'import tabulate; print(tabulate.__version__)'")
    (project / "requirements.txt").write_text("tabulate==0.9.0\n")

    def run(kind: str | None = None, **more: Any) -> StepRun:
        return step("count", uri=str(project), environment=kind, code=["train.py"], **more)

    first = run()
    assert not first.reused
    assert run().run_id == first.run_id
    assert first.run.source.environment is not None
    assert first.run.source.environment.startswith("uv:")
    (project / "requirements.txt").write_text("tabulate==0.8.10\n")
    second = run()
    assert not second.reused
    output = Path(download_artifacts(second.run_id, "project/output.txt", to=home)).read_text()
    assert output == "0.8.10\n"
    (project / "requirements.txt").write_text("tabulate==0.9.0\n")
    assert run().run_id == first.run_id
    with pytest.raises(ProjectError, match="no environments of kind 'magic'"):
        run("magic")


def test_without_code_all_files_count_and_outputs_do_not(project: Path) -> None:
    counting(project, "echo {n} > n.txt; mkdir -p more; echo {n} > more/n.txt")
    outputs = ["n.txt", "more/"]
    first = count(project, outputs=outputs)
    assert count(project, outputs=outputs).reused
    for name in ("n.txt", "more/n.txt"):  # left there by hand
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("old")
    assert count(project, outputs=outputs).reused
    kept = [one.path for one in list_artifacts(first.run_id, "outputs")]
    assert kept == ["outputs/more/n.txt", "outputs/n.txt"]
    (project / "train.py").write_text("# another\n")
    assert not count(project, outputs=outputs).reused
    (project / "train.py").chmod(0o755)
    assert not count(project, outputs=outputs).reused, "what may be executed is another file"
    assert not count(project, outputs=["n.txt"]).reused, "other outputs are another step"


def test_a_step_sees_what_its_key_is_made_of(project: Path) -> None:
    counting(project, "ls > n.txt; cat n.txt; test ! -e etl.py")
    done = count(project, code=["train.py", "./load_raw.py"], outputs=["n.txt"])
    text = Path(download_artifacts(done.run_id, "outputs/n.txt", to=project.parent)).read_text()
    assert text.split() == ["MLproject", "load_raw.py", "n.txt", "train.py"]
    with pytest.raises(ProjectError, match=r"No file of .* matches 'nothing\.py'"):
        count(project, code=["nothing.py"])
    with pytest.raises(ProjectError, match=r"must be a list of paths, not the text 'train\.py'"):
        count(project, code="train.py")


def test_what_git_ignores_does_not_count_and_the_rest_does(project: Path, home: Path) -> None:
    (project / ".gitignore").write_text("scratch/\n")
    in_git(project)
    whole = code_of(project).digest
    for name in ("scratch/a", "__pycache__/train.pyc"):
        (project / name).parent.mkdir()
        (project / name).write_text("x")
    assert code_of(project).digest == whole
    (project / "new.py").write_text("")
    untracked = code_of(project).digest
    assert untracked != whole
    git(project, "add", "new.py")
    git(project, "commit", "-qm", "second")
    assert code_of(project).digest == untracked, "committed or not is the same"
    (project / "scratch" / "train.py").write_text("1")
    ignored = code_of(project / "scratch")
    assert ignored.files == ("a", "train.py"), "a project that its repository ignores has files, too"
    inner = project / "inner"
    inner.mkdir()
    (inner / "part.py").write_text("1")
    in_git(inner)
    assert "inner/part.py" in code_of(project).files, "a repository within is part of it"
    (project / "link").symlink_to(home.parent)
    assert "link" in code_of(project).files
    ours = project / "home"
    ours.mkdir()
    (ours / "store.db").write_text("1")
    assert "home/store.db" not in code_of(project, ignored=[ours]).files


def test_a_copy_in_git_is_the_same_step_and_its_run_names_the_commit(project: Path, tmp_path: Path) -> None:
    first = workflow(project)
    in_git(project)
    bare = tmp_path / "project.git"
    git(tmp_path, "clone", "-q", "--bare", str(project), str(bare))
    assert ran(workflow(bare)) == set(), "wherever the files lie"
    replace_in(project / "train.py", "slope *", "slope  *")
    git(project, "commit", "-qam", "second")
    git(project, "push", "-q", str(bare), "main")
    changed = workflow(bare)
    assert ran(changed) == {"model"}
    source = changed["model"].run.source
    assert (source.commit, source.dirty) == (git(project, "rev-parse", "HEAD"), False)
    before = workflow(bare, version=git(project, "rev-parse", "HEAD~1"))
    assert before["model"].run_id == first["model"].run_id


def test_only_what_has_completed_and_is_whole_is_reused(project: Path, home: Path) -> None:
    folder = counting(project, "echo {n} > n.txt; test ! -e stop")
    outputs = ["n.txt"]
    first = count(folder, outputs=outputs)
    assert count(folder, outputs=outputs).run_id == first.run_id
    second = count(folder, outputs=outputs, refresh=True)
    assert not second.reused
    assert count(folder, outputs=outputs).run_id == second.run_id, "the last one counts"

    delete_run(second.run_id)
    third = count(folder, outputs=outputs)
    assert not third.reused
    (Path(get_run(third.run_id).artifact_uri) / "outputs" / "n.txt").unlink()
    fourth = count(folder, outputs=outputs)
    assert not fourth.reused, "its output was gone"
    shutil.rmtree(get_run(fourth.run_id).artifact_uri)
    assert not count(folder, outputs=outputs).reused, "all was gone"

    (folder / "stop").touch()
    for _ in range(2):
        with pytest.raises(ProjectRunFailed, match="exit code 1"):
            count(folder, outputs=outputs)
    assert [run.status for run in search_runs("status = 'Failed'")] == ["Failed", "Failed"]
    (folder / "stop").unlink()
    with pytest.raises(ProjectRunFailed, match=r"has not written 'other\.txt'"):
        count(folder, outputs=["other.txt"])
    for path in ("/etc/passwd", "../n.txt"):
        with pytest.raises(ProjectError, match="cannot be an output"):
            count(folder, outputs=[path])


def test_a_model_or_text_that_is_an_address_of_ours_counts_by_its_content(project: Path) -> None:
    folder = counting(project, "echo {data}")
    replace_in(folder / "MLproject", "n: {type: int, default: 1}", "data: uri")
    runs = [count(counting(project.parent / "c"), n, outputs=["n.txt"], refresh=True) for n in (1, 1, 2)]

    def use(run: StepRun) -> StepRun:
        return step("count", {"data": run.output("n.txt")}, uri=str(folder), environment="system")

    first = use(runs[0])
    assert use(runs[1]).run_id == first.run_id
    assert not use(runs[2]).reused
    with pytest.raises(ProjectError):
        step("count", {"data": "runs:/nobody/x"}, uri=str(folder), environment="system")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_another_machine_with_the_same_store_reuses(
    project: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings()
    shutil.copytree(project, tmp_path / "copy")
    first = workflow(project)
    monkeypatch.setenv("PREFECT_ML_STORE_URL", settings.store_url)
    monkeypatch.setenv("PREFECT_ML_ARTIFACT_ROOT", settings.artifact_root)
    monkeypatch.setenv("PREFECT_ML_HOME", str(tmp_path / "another"))
    assert {one.run_id for one in workflow(tmp_path / "copy").values()} == {one.run_id for one in first.values()}


def test_what_is_reused_stands_in_the_run_around_it(project: Path) -> None:
    folder = counting(project)
    first = count(folder)
    with start_run(name="around", experiment="e") as run:
        assert count(folder).run_id == first.run_id
        other = count(folder, 2)
    assert [(one.run_id, one.name) for one in reused_runs(run.id)] == [(first.run_id, "count")]
    assert (other.run.parent_id, other.run.experiment) == (run.id, "e")
    assert first.run.parent_id is None
    with pytest.raises(ProjectError, match="submit_step needs a Prefect flow"):
        submit_step("count", uri=str(folder))


MAIN = """
import prefect_ml
done = [prefect_ml.step("count", {"n": n}, environment="system") for n in (1, 1, 2)]
print("reused", [one.reused for one in done])
"""


def test_a_project_that_is_run_has_steps_of_its_own(project: Path, tmp_path: Path) -> None:
    counting(project)
    with (project / "MLproject").open("a") as file:
        file.write("  main:\n    command: python main.py\n")
    (project / "main.py").write_text(MAIN)
    in_git(project)
    bare = tmp_path / "project.git"
    git(tmp_path, "clone", "-q", "--bare", str(project), str(bare))
    from prefect_ml import run_project

    done = run_project(str(bare), environment="system", report=lambda _: None)
    children = search_runs(f"parent_id = '{done.run_id}'")
    assert sorted(run.params["n"] for run in children) == ["1", "2"]
    assert {run.source.project for run in children} == {str(bare)}
    assert {run.source.commit for run in children} == {git(project, "rev-parse", "HEAD")}
    assert get_run(done.run_id).params == {}
    assert [one.name for one in reused_runs(done.run_id)] == ["count"]


TOGETHER = """
import sys
from prefect_ml import step
done = step("count", uri=sys.argv[1], environment="system", outputs=["n.txt"])
print(done.reused, done.run_id)
"""


def test_who_asks_for_what_runs_already_waits_for_it(project: Path, tmp_path: Path) -> None:
    folder = counting(project, "echo {n} > n.txt; sleep 1.5")
    command = [sys.executable, "-c", TOGETHER, str(folder)]
    asking = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(3)]
    answers = [process.communicate(timeout=120)[0].split() for process in asking]
    assert sorted(reused for reused, _ in answers) == ["False", "True", "True"]
    assert len({run_id for _, run_id in answers}) == 1
    assert len(search_runs("")) == 1


def test_one_who_died_holds_nothing(project: Path) -> None:
    counting(project, "echo started; sleep 60; echo {n} > n.txt")
    command = [sys.executable, "-c", TOGETHER, str(project)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as first:
        assert first.stderr is not None
        assert "started" in first.stderr.readline()
        first.kill()
    counting(project, "echo {n} > n.txt")
    assert not count(project, outputs=["n.txt"]).reused


FLOW = """
import asyncio, json, sys
from prefect import flow, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from prefect_ml import current_run, get_run, search_runs, step, submit_step
from prefect_ml.store.reuses import reused_runs
from prefect_ml.tasks import tracked_flow

folder = sys.argv[1]
about = {"uri": folder, "environment": "system"}
tries = []

@flow
def pipeline(n):
    from prefect.context import FlowRunContext
    done = step("count", {"n": n}, outputs=["n.txt"], **about)
    both = [submit_step("count", {"n": n + more}, outputs=["n.txt"], **about) for more in (0, 1)]
    done = [done, *(future.result() for future in both)]
    return str(FlowRunContext.get().flow_run.id), [(one.run_id, one.reused) for one in done]

@tracked_flow(retries=1)
async def restless():
    tries.append(step("count", {"n": 20}, **about))
    if len(tries) == 1:
        raise ValueError("once more")
    return current_run().id

def states(flow_run_id):
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [flow_run_id]}))
    return sorted((run.state_name, str(run.id)) for run in runs)

if __name__ == "__main__":
    out = {}
    runners = {
        "threads": ThreadPoolTaskRunner(max_workers=2),
        "processes": ProcessPoolTaskRunner(max_workers=1),
    }
    for number, (name, runner) in enumerate(runners.items()):
        flow_run_id, done = pipeline.with_options(task_runner=runner)(10 * number)
        out[name] = {
            "flow": flow_run_id,
            "done": done,
            "parents": [get_run(run_id).parent_id for run_id, _ in done],
            "reused": [(one.run_id, one.task_run_id) for one in reused_runs(flow_run_id)],
            "states": states(flow_run_id),
        }
    parent = asyncio.run(restless())
    out["retried"] = {
        "steps": [(one.run_id, one.reused) for one in tries],
        "reused": [one.run_id for one in reused_runs(parent)],
        "children": [run.id for run in search_runs(f"parent_id = '{parent}'")],
    }
    print(json.dumps(out))
"""


def test_in_prefect_steps_are_task_runs_and_what_is_reused_is_cached(
    in_prefect: Callable[..., Any], tmp_path: Path
) -> None:
    folder = counting(tmp_path / "p")
    out = in_prefect(FLOW, tmp_path, str(folder))
    for runner in ("threads", "processes"):
        seen = out[runner]
        (first, _), (second, _), (third, _) = seen["done"]
        assert [reused for _, reused in seen["done"]] == [False, True, False]
        assert second == first
        assert set(seen["parents"]) == {seen["flow"]}
        states = {run_id: state for state, run_id in seen["states"]}
        assert len(states) == 3
        assert (states[first], states[third]) == ("Completed", "Completed"), "the run is the task run"
        ((producer, reusing),) = seen["reused"]
        assert (producer, states[reusing]) == (first, "Cached")
    (tried, _), (again, reused) = out["retried"]["steps"]
    assert (again, reused) == (tried, True)
    assert out["retried"]["reused"] == [tried]
    assert out["retried"]["children"] == [tried], "what the new attempt has reused is superseded no more"


SAMPLE = """
import json, sys
from prefect_ml import get_run, rerun, run_project, search_runs
from prefect_ml.store.reuses import reused_runs

if __name__ == "__main__":
    out = []
    for alpha in ("0.1", "0.3"):
        done = run_project(sys.argv[1], environment="system", params={"alpha": alpha}, report=lambda _: None)
        (inner,) = search_runs(f"parent_id = '{done.run_id}'")
        ran = search_runs(f"parent_id = '{inner.id}'")
        reused = [get_run(one.run_id) for one in reused_runs(inner.id)]
        out.append([sorted(run.source.entry_point for run in runs) for runs in (ran, reused)])
    print(json.dumps([*out, rerun(ran[0].id).outcome]))
"""


@pytest.mark.heavy
def test_the_workflow_of_the_docs_runs_by_itself(in_prefect: Callable[..., Any], project: Path, tmp_path: Path) -> None:
    assert in_prefect(SAMPLE, tmp_path, str(in_git(project))) == [
        [["etl", "load_raw", "train"], []],
        [["train"], ["etl", "load_raw"]],
        "reproduced",
    ]


def test_options_of_prefect_are_refused_outside_of_prefect(project: Path, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="retries: only a step inside a Prefect flow"):
        count(counting(tmp_path / "p"), retries=2)
    assert search_runs("") == []
