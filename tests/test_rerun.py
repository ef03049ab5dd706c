"""Running a run again: the same, something else, or not possible, and why."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from prefect_ml import get_run, log_metric, log_text, rerun, run_project, search_runs, start_run, step
from prefect_ml.errors import ProjectError, ProjectRunFailed, RunNotFound
from prefect_ml.flows.projects import ProjectRun, Verdict
from prefect_ml.flows.projects.sources import collect_checkouts
from prefect_ml.settings import load_settings
from prefect_ml.store import as_json
from prefect_ml.store.artifacts import put_file, remove
from prefect_ml.store.run_artifacts import list_artifacts

GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
PROJECT = """name: twice
entry_points:
  main:
    parameters:
      data: {type: path, default: data.csv}
      alpha: {type: float, default: 0.1}
    command: "python main.py {data} {alpha}"
"""
MAIN = """
import sys
from prefect_ml import log_metrics, log_param, start_run

value = float(open(sys.argv[1]).read()) * float(sys.argv[2])
with start_run():
    log_param("found by the program", 3)
    log_metrics({"value": value, "none": float("nan"), "system/cpu": __import__("random").random()})
"""


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, message: str = "more") -> str:
    git(folder, "add", ".")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def project(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a repository; the working directory is elsewhere."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "MLproject").write_text(PROJECT)
    (folder / "main.py").write_text(MAIN)
    (folder / "data.csv").write_text("2")
    (folder / ".gitignore").write_text("__pycache__/\n")
    git(folder, "init", "-qb", "main")
    commit(folder)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def run(folder: Path | str, environment: str = "system", **more: Any) -> ProjectRun:
    return run_project(str(folder), environment=environment, report=lambda _: None, **more)


def again(done: ProjectRun, **more: Any) -> Verdict:
    return rerun(done.run_id, report=lambda _: None, **more)


def impossible(run_id: str, said: str) -> None:
    """Check that a run cannot be run again, and that nothing has run."""
    before = len(search_runs(""))
    verdict = rerun(run_id, report=lambda _: None)
    assert (verdict.outcome, verdict.again) == ("not possible", None)
    assert said in " ".join(verdict.missing)
    assert not any("\n" in sentence for sentence in verdict.missing)
    assert len(search_runs("")) == before


def test_a_run_is_reproduced_with_its_code_changes_params_and_inputs(project: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "other.csv").write_text("7")
    (project / "main.py").write_text(MAIN.replace("value =", "value = 10 *"))
    (project / "new.py").write_text("# not committed\n")
    done = run(project, params={"alpha": "0.50", "data": "other.csv", "extra": 1}, experiment="mine")
    before = as_json(get_run(done.run_id)), list_artifacts(done.run_id)
    assert before[0]["params"]["found by the program"] == "3"
    (project / "main.py").write_text("raise SystemExit(1)\n")
    commit(project)

    verdict = again(done)
    assert (verdict.outcome, verdict.differences, verdict.changed, verdict.missing) == ("reproduced", (), (), ())
    assert (as_json(get_run(done.run_id)), list_artifacts(done.run_id)) == before, "the first run is as it was"
    second = get_run(str(verdict.again))
    assert second.tags["rerun_of"] == done.run_id
    assert (second.experiment, second.parent_id, second.metrics["value"]) == ("mine", None, 35.0)
    assert second.params == before[0]["params"]
    first = before[0]["source"]
    assert (second.source.commit, second.source.dirty) == (first["commit"], True)
    assert second.source.changes == first["changes"]

    third = rerun(second.id, report=lambda _: None)
    assert third.outcome == "reproduced", "a rerun can be run again"


def test_a_default_input_is_that_of_the_commit(project: Path) -> None:
    done = run(project)
    (project / "data.csv").write_text("3")
    commit(project)
    verdict = again(done)
    assert (verdict.outcome, verdict.missing) == ("reproduced", ())
    assert get_run(str(verdict.again)).metrics["value"] == pytest.approx(0.2)


def test_a_default_input_that_git_ignores_is_taken_from_the_folder(project: Path) -> None:
    described = PROJECT.replace("default: data.csv", "default: raw/data.csv")
    (project / "MLproject").write_text(described)
    (project / ".gitignore").write_text("__pycache__/\nraw/\n")
    (project / "raw").mkdir()
    (project / "raw" / "data.csv").write_text("3")
    commit(project)
    done = run(project)
    verdict = again(done)
    assert (verdict.outcome, verdict.changed) == ("reproduced", ())
    assert get_run(str(verdict.again)).params == get_run(done.run_id).params
    (project / "raw" / "data.csv").write_text("4")
    impossible(done.run_id, "The input 'data' (raw/data.csv) has changed")
    (project / "raw" / "data.csv").unlink()
    impossible(done.run_id, "The input 'data' is gone")


def test_what_differs_is_named_with_how_much(project: Path, tmp_path: Path) -> None:
    secret = tmp_path / "state"
    secret.write_text("1")
    (project / "main.py").write_text(MAIN.replace("value =", f"value = float(open({str(secret)!r}).read()) *"))
    commit(project)
    done = run(project)
    secret.write_text("1.25")
    verdict = again(done)
    assert verdict.outcome == "differs"
    (difference,) = verdict.differences
    assert (difference.name, difference.was, difference.now) == ("value", 0.2, 0.25)
    assert difference.relative == pytest.approx(0.2)
    assert again(done, tolerance=0.2).outcome == "reproduced"
    with pytest.raises(ProjectError, match="tolerance must be 0 or more"):
        again(done, tolerance=float("nan"))
    secret.unlink()
    with pytest.raises(ProjectRunFailed, match="exit code 1"):
        again(done)


def test_metrics_that_only_one_of_them_has_differ(project: Path, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    more = f"\nimport os\nif os.path.exists({str(flag)!r}):\n    with start_run(): log_metrics({{'more': 1.0}})\n"
    (project / "main.py").write_text(MAIN + more)
    commit(project)
    done = run(project)
    flag.touch()
    (difference,) = again(done).differences
    assert (difference.name, difference.was, difference.now, difference.relative) == ("more", None, 1.0, None)


def test_a_changed_or_missing_input_makes_it_impossible(project: Path, tmp_path: Path) -> None:
    data = tmp_path / "input.csv"
    data.write_text("4")
    done = run(project, params={"data": str(data)})
    data.write_text("5")
    impossible(done.run_id, f"The input 'data' ({data}) has changed: it had the digest")
    data.unlink()
    impossible(done.run_id, f"The input 'data' is gone: There is nothing at {data}")


def test_code_that_cannot_be_had_makes_it_impossible(project: Path, tmp_path: Path) -> None:
    bare = tmp_path / "project.git"
    git(tmp_path, "clone", "-q", "--bare", str(project), str(bare))
    (project / "main.py").write_text(MAIN + "# second\n")
    commit(project)
    git(project, "push", "-q", str(bare), "main")
    done = run(bare)
    assert again(done).outcome == "reproduced"
    shutil.rmtree(tmp_path / "home" / "projects")
    git(bare, "update-ref", "refs/heads/main", "main~1")
    git(bare, "reflog", "expire", "--expire=now", "--all")
    git(bare, "gc", "-q", "--prune=now")
    impossible(done.run_id, str(get_run(done.run_id).source.commit))
    shutil.rmtree(bare)
    impossible(done.run_id, str(bare))


def test_a_folder_that_is_gone_is_had_again_from_its_remote(project: Path, tmp_path: Path) -> None:
    part = project / "parts" / "a.b"
    part.mkdir(parents=True)
    for name in ("MLproject", "main.py", "data.csv"):
        git(project, "mv", name, f"parts/a.b/{name}")
    commit(project)
    bare = tmp_path / "project.git"
    git(tmp_path, "clone", "-q", "--bare", str(project), str(bare))
    git(project, "remote", "add", "origin", "../project.git")
    (part / "data.csv").write_text("6")
    done = run(part)
    source = get_run(done.run_id).source
    assert (source.project, source.subfolder, source.remote) == (str(part), "parts/a.b", str(bare))
    git(project, "stash", "-q")
    git(project, "mv", "parts", "moved")
    commit(project)
    assert again(done).outcome == "reproduced", "its repository is still there"

    shutil.rmtree(project)
    shutil.rmtree(tmp_path / "home" / "projects")
    verdict = again(done)
    assert (verdict.outcome, verdict.missing, verdict.changed) == ("reproduced", (), ())
    second = get_run(str(verdict.again))
    assert second.metrics["value"] == pytest.approx(0.6), "with the local changes"
    assert (second.source.subfolder, second.source.remote) == ("parts/a.b", str(bare))
    assert rerun(second.id, report=lambda _: None).outcome == "reproduced"
    shutil.rmtree(bare)
    shutil.rmtree(tmp_path / "home" / "projects")
    impossible(done.run_id, f"The folder {part} is gone.")
    impossible(
        done.run_id, f"Its commit {source.commit} cannot be had from file://{bare}#parts/a.b: There is no repository at"
    )


def test_a_commit_that_was_never_pushed_is_missed_on_the_remote(project: Path, tmp_path: Path) -> None:
    bare = tmp_path / "project.git"
    git(tmp_path, "clone", "-q", "--bare", str(project), str(bare))
    git(project, "remote", "add", "origin", str(bare))
    (project / "main.py").write_text(MAIN + "# second\n")
    commit(project)
    done = run(project)
    shutil.rmtree(project)
    impossible(done.run_id, f"{bare} has no branch, tag or commit")


def test_changes_that_were_not_kept_make_it_impossible(project: Path) -> None:
    (project / "id_rsa").write_text("secret")
    (project / "big.bin").write_bytes(b"\0" * (3 << 20))
    done = run(project)
    impossible(done.run_id, "Its local changes to 'big.bin' (3145728 bytes, more than 2097152) were not kept.")
    impossible(done.run_id, "'id_rsa' (its name says that it is secret)")
    changes = get_run(done.run_id).source.changes
    assert changes is not None
    Path(changes).unlink()
    impossible(done.run_id, changes.rpartition("/")[2])


def test_what_is_no_run_of_a_project_in_git_is_impossible(project: Path) -> None:
    with start_run() as plain:
        log_metric("m", 1)
    impossible(plain.id, "is not that of a project's entry point")
    shutil.rmtree(project / ".git")
    done = run(project)
    impossible(done.run_id, "was in no Git repository")
    with pytest.raises(RunNotFound):
        rerun("nobody")


def test_the_environment_comes_from_the_lock(project: Path, home: Path, environments: Path, tmp_path: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "environments").symlink_to(environments)
    code = "import sys, tabulate; print(tabulate.__version__)\nassert tabulate.__version__ == '0.9.0'\n"
    (project / "main.py").write_text(code)
    (project / "requirements.txt").write_text("tabulate<0.9.1\n")
    commit(project)
    done = run(project, environment="uv")
    (project / "requirements.txt").write_text("tabulate==0.8.10\n")
    commit(project)
    verdict = again(done)
    assert verdict.outcome == "not possible", "there is nothing to compare"
    assert "no metric was logged" in " ".join(verdict.missing)
    assert get_run(str(verdict.again)).status == "Completed"
    assert get_run(str(verdict.again)).source.commit == get_run(done.run_id).source.commit

    lock = Path(get_run(done.run_id).artifact_uri) / "project" / "environment.lock"
    text = lock.read_text()
    for changed, said in (
        (text.replace("tabulate==0.9.0", "no-such-package-of-anybody==1"), "no-such-package-of-anybody"),
        (text.replace("# python: 3.", "# python: 2."), "Python 2."),
        (None, "environment.lock"),
    ):
        relogged(lock, changed)
        impossible(done.run_id, said)


def relogged(file: Path, text: str | None) -> None:
    """Put another text in the place of an artifact, with its records; None removes it."""
    remove(str(file))
    if text is not None:
        other = file.parent.parent.parent / "other"
        other.write_text(text)
        put_file(other, str(file))
        other.unlink()


def test_a_step_and_a_project_in_a_sub_folder_are_run_again(project: Path, tmp_path: Path) -> None:
    part = project / "a.b" / "part"
    part.mkdir(parents=True)
    for name in ("MLproject", "main.py", "data.csv"):
        git(project, "mv", name, f"a.b/part/{name}")
    commit(project)
    bare = tmp_path / "project.git"
    git(tmp_path, "clone", "-q", "--bare", str(project), str(bare))
    assert again(run(f"{bare}#a.b/part")).outcome == "reproduced"
    (part / "data.csv").write_text("6")
    assert again(run(part)).outcome == "reproduced", "local changes of a sub-folder"

    first = step("main", uri=str(part), environment="system")
    assert rerun(first.run_id, report=lambda _: None).outcome == "reproduced"


def test_inputs_that_other_runs_have_made(project: Path) -> None:
    with start_run() as maker:
        log_text("8", "data.csv")
    done = run(project, params={"data": f"runs:/{maker.id}/data.csv"})
    assert again(done).outcome == "reproduced"
    relogged(Path(get_run(maker.id).artifact_uri) / "data.csv", None)
    impossible(done.run_id, "The input 'data' is gone")


def test_a_step_in_a_container_is_reused_and_run_again_in_its_image(base_image: str, project: Path) -> None:
    command = 'cat {data} > out.txt; mkdir -p deep; cat /given/x >> deep/out.txt; echo "$FROM"'
    described = PROJECT.replace('"python main.py {data} {alpha}"', command)
    more = "  volumes: ['./shared:/given:ro']\n  environment: [[FROM, project]]\n"
    (project / "MLproject").write_text(f"{described}docker_env:\n  image: {base_image}\n{more}")
    (project / "shared").mkdir()
    (project / "shared" / "x").write_text("1")
    commit(project)
    first = step("main", uri=str(project), outputs=["out.txt", "deep"])
    assert step("main", uri=str(project), outputs=["out.txt", "deep"]).run_id == first.run_id
    assert str(first.run.source.environment).startswith("docker:")
    (project / "MLproject").write_text((project / "MLproject").read_text().replace("project]]", "another]]"))
    assert not step("main", uri=str(project), outputs=["out.txt", "deep"]).reused
    repeated = get_run(str(rerun(first.run_id, report=lambda _: None).again))
    assert (repeated.status, repeated.source.environment) == ("Completed", first.run.source.environment)


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prefect_ml.cli", "runs", "rerun", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_says_the_verdict_and_ends_with_it(project: Path, tmp_path: Path) -> None:
    data = tmp_path / "input.csv"
    data.write_text("4")
    done = run(project, params={"data": str(data)})
    said = cli(done.run_id, "--json")
    assert said.returncode == 0, said.stderr
    verdict = json.loads(said.stdout)
    assert (verdict["outcome"], verdict["run_id"], verdict["differences"]) == ("reproduced", done.run_id, [])
    assert get_run(verdict["again"]).status == "Completed"
    data.write_text("5")
    said = cli(done.run_id[:30])
    assert said.returncode == 1
    assert "not possible" in said.stdout
    assert "has changed" in said.stdout
    assert cli("nobody").returncode == 2


WAITING = """
import os, pathlib, time
pathlib.Path({0!r}, "pid").write_text(str(os.getpid()))
while pathlib.Path({0!r}, "wait").exists():
    time.sleep(0.05)
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_what_an_ended_rerun_has_left_is_collected(
    project: Path, home: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    (project / "main.py").write_text(MAIN + WAITING.format(str(tmp_path)))
    done = run(project)
    (tmp_path / "pid").unlink()
    (tmp_path / "wait").touch()
    command = [sys.executable, "-m", "prefect_ml.cli", "runs", "rerun", done.run_id]
    rerunning = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert rerunning.poll() is None
            time.sleep(0.05)
        settings = load_settings()
        (copy,) = [path for path in (home / "projects" / ".runs").iterdir() if path.is_dir()]
        assert copy not in collect_checkouts(settings, older_than_days=0), "it is in use"
        rerunning.send_signal(ending)
        rerunning.wait(30)
        child = int((tmp_path / "pid").read_text())
        while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.05)
        assert copy.exists() == (ending == signal.SIGKILL)
        while copy.exists():  # what it had started may hold it for a moment longer
            collect_checkouts(settings, older_than_days=0)
        assert list((home / "projects" / ".runs").iterdir()) == []
    finally:
        rerunning.kill()
        rerunning.wait()
        (tmp_path / "wait").unlink()


FLOW = """
from prefect import flow
from prefect_ml import log_metric

@flow
def train(n: int, more: list[int]):
    log_metric("sum", n + sum(more))
"""
SCRIPT = """
import json, sys
from prefect_ml import current_run, get_run, rerun, run_project
from prefect_ml.tasks import tracked_flow

@tracked_flow
def loose():
    return current_run().id

about = {"environment": "system", "report": lambda _: None}
params = {"n": "3", "more": [1, 2]}
done = run_project(sys.argv[1], entry_point="train", params=params, experiment="flows", **about)
verdict = rerun(done.run_id, report=lambda _: None)
again = get_run(verdict.again) if verdict.again else None
print(json.dumps({
    "outcome": verdict.outcome,
    "missing": verdict.missing,
    "again": again and [again.metrics, again.tags["rerun_of"] == done.run_id, again.experiment],
    "loose": rerun(loose()).missing,
}))
"""


@pytest.mark.heavy
def test_flows_of_projects_are_run_again_and_other_flows_are_not(
    in_prefect: Callable[..., Any], project: Path, tmp_path: Path
) -> None:
    (project / "MLproject").unlink()
    (project / "flows.py").write_text(FLOW)
    commit(project)
    out = in_prefect(SCRIPT, tmp_path, str(project))
    assert (out["outcome"], out["missing"]) == ("reproduced", [])
    assert out["again"] == [{"sum": 6.0}, True, "flows"]
    (sentence,) = out["loose"]
    assert "is not that of a project's entry point" in sentence
