"""What a run ran: code, software and the Prefect run around it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prefect_ml import get_run, search_runs
from prefect_ml.store.artifacts import fetch
from prefect_ml.store.environments import run_environment

pytestmark = pytest.mark.usefixtures("home")

TRAIN = """
import sys, prefect_ml
for _ in range(int(sys.argv[1]) if sys.argv[1:] else 1):
    with prefect_ml.start_run(name="train") as run:
        prefect_ml.log_metric("m", 1)
        with prefect_ml.start_run(name="inner"):
            pass
    print(run.id)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, whose train.py prints the ids of the runs that it makes."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "old.py").write_text("old = True\n")
    (folder / "model.bin").write_bytes(os.urandom(500))
    (folder / ".gitignore").write_text("*.tmp\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    git(folder, "remote", "add", "origin", "https://me:hunter2@example.org/team/project.git")
    return folder


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", *identity, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def train(folder: Path, *words: str, script: str = "train.py", **more: str) -> list[str]:
    command = [sys.executable, script, *words]
    environ = {**os.environ, **more}
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env=environ).stdout.split()


def content(folder: Path) -> dict[str, Any]:
    files = (path for path in sorted(folder.rglob("*")) if ".git" not in path.relative_to(folder).parts)
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else (path.read_bytes(), os.access(path, os.X_OK))
        for path in files
        if path.is_symlink() or path.is_file()
    }


def test_the_commit_branch_and_remote_are_known_and_the_remote_keeps_no_password(repository: Path) -> None:
    (run_id,) = train(repository)
    source = get_run(run_id).source
    assert (source.project, source.commit) == (str(repository), git(repository, "rev-parse", "HEAD"))
    assert (source.branch, source.dirty, source.changes) == ("main", False, None)
    assert source.remote == "https://example.org/team/project.git"
    git(repository, "checkout", "-q", "--detach")
    assert get_run(train(repository)[0]).source.branch is None


@pytest.mark.parametrize(
    ("remote", "recorded"),
    [
        ("git@example.org:team/project.git", "git@example.org:team/project.git"),
        ("ssh://git@example.org:2222/team/project.git", "ssh://git@example.org:2222/team/project.git"),
        ("ssh://git:hunter2@example.org/team/project.git", "ssh://git@example.org/team/project.git"),
        ("https://ghp_hunter2@example.org/team/project.git", "https://example.org/team/project.git"),
        ("../other.git", "{folder}/other.git"),
        ("/srv/other.git", "/srv/other.git"),
    ],
)
def test_an_address_of_a_remote_is_kept_whole_but_for_what_is_secret(
    repository: Path, remote: str, recorded: str
) -> None:
    git(repository, "remote", "set-url", "origin", remote)
    assert get_run(train(repository)[0]).source.remote == recorded.format(folder=repository.parent)


def test_what_differs_from_the_commit_is_kept_as_a_patch_that_brings_it_all_back(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "train.py").write_text(TRAIN + "# no newline at the end")
    (repository / "old.py").unlink()
    (repository / "model.bin").write_bytes(os.urandom(700))
    (repository / "train.py").chmod(0o755)
    (repository / "new folder").mkdir()
    (repository / "new folder" / "ünï*.py").write_bytes(b"a\r\nb\r\n")
    (repository / "empty.py").touch()
    (repository / "link.py").symlink_to("train.py")
    (repository / "staged.py").write_text("staged = True\n")
    git(repository, "add", "staged.py")
    git(repository, "config", "diff.noprefix", "true")
    git(repository, "config", "diff.external", "false")
    before = git(repository, "status", "--porcelain"), sorted((repository / ".git").rglob("*"))
    (run_id,) = train(repository)
    assert (git(repository, "status", "--porcelain"), sorted((repository / ".git").rglob("*"))) == before
    source = get_run(run_id).source
    assert source.dirty
    patch = fetch(str(source.changes), tmp_path / "changes.diff")
    git(tmp_path, "clone", "-q", str(repository), "clone")
    git(tmp_path / "clone", "checkout", "-q", str(source.commit))
    git(tmp_path / "clone", "apply", str(patch))
    assert content(tmp_path / "clone") == content(repository)


def test_secrets_big_files_and_our_own_are_left_out_and_said_so(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / ".env").write_text("PASSWORD=hunter2\n")
    (repository / "deploy.pem").write_text("hunter2")
    (repository / "data.csv").write_bytes(b"1\n" * (2 << 20))
    (repository / "ignored.tmp").write_text("hunter2")
    (repository / "new.py").write_text("new = True\n")
    monkeypatch.setenv("PREFECT_ML_HOME", str(repository / "ml"))
    (run_id,) = train(repository)
    (run_id,) = train(repository)  # the first one has left its store and the patch
    changes = str(get_run(run_id).source.changes)
    text = fetch(changes, tmp_path / "changes.diff").read_text()
    assert re.findall(r"^\+\+\+ b/(.*)$", text, flags=re.M) == ["new.py"]
    assert re.findall(r"^# Left out: '(.*)' ", text, flags=re.M) == [".env", "data.csv", "deploy.pem"]
    assert "hunter2" not in text


UNPRIVILEGED = """
import ctypes, os, sys
for capability in (1, 2):  # of root, who else may read everything
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_file_that_cannot_be_read_costs_no_other_one_and_is_told_once(repository: Path, tmp_path: Path) -> None:
    for number in range(9):
        (repository / f"new{number}.py").write_text(f"{number}\n")
    (repository / "old.py").write_text("old = False\n")
    (repository / "new4.py").chmod(0)
    command = [sys.executable, "-c", UNPRIVILEGED, "train.py", "2"]
    done = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True)
    assert done.stderr.count("Local changes to 'new4.py' cannot be read and are not kept") == 1
    for run_id in done.stdout.split():
        text = fetch(str(get_run(run_id).source.changes), tmp_path / f"{run_id}.diff").read_text()
        named = [f"new{number}.py" for number in range(9) if number != 4]
        assert sorted(re.findall(r"^\+\+\+ b/(.*)$", text, flags=re.M)) == [*named, "old.py"]
        assert re.findall(r"^# Left out: (.*)$", text, flags=re.M) == ["'new4.py' (it could not be read)"]


def test_the_same_changes_are_kept_once_for_all_runs_and_processes(repository: Path) -> None:
    (repository / "new.py").write_text("new = True\n")
    ids = train(repository, "3") + train(repository)
    places = {get_run(run_id).source.changes for run_id in ids}
    assert len(ids) == 4
    assert len(places) == 1
    assert all(run.source.changes in places for run in search_runs())
    (repository / "new.py").write_text("new = False\n")
    assert get_run(train(repository)[0]).source.changes not in places


def test_code_without_a_commit_or_a_repository_is_no_error(repository: Path, tmp_path: Path) -> None:
    shutil.rmtree(repository / ".git")
    assert get_run(train(repository)[0]).source.commit is None
    git(repository, "init", "-q", "-b", "main")
    source = get_run(train(repository)[0]).source
    assert (source.commit, source.dirty, source.branch) == (None, True, "main")
    patch = fetch(str(source.changes), tmp_path / "changes.diff")
    bare = tmp_path / "bare"
    bare.mkdir()
    git(bare, "init", "-q")
    git(bare, "apply", str(patch))
    assert content(bare) == content(repository)


def test_the_repository_is_that_of_the_code_even_inside_a_hook_of_another_and_none_for_installed_libraries(
    repository: Path, tmp_path: Path
) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    (run_id,) = train(repository, GIT_DIR=str(tmp_path / "elsewhere"), GIT_INDEX_FILE=str(tmp_path / "index"))
    assert get_run(run_id).source.commit == commit
    library = repository / "env" / "site-packages"
    library.mkdir(parents=True)
    shutil.copy(repository / "train.py", library)
    source = get_run(train(library)[0]).source
    assert (source.project, source.commit) == (str(library), None)


def test_no_run_waits_for_git_and_a_short_script_records_it_all_the_same(repository: Path, tmp_path: Path) -> None:
    """Git is one that waits until it may answer; the script lets it only after its run is closed and read."""
    slow, go = tmp_path / "bin" / "git", tmp_path / "go"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.05; done\nexec {shutil.which("git")} "$@"\n')
    slow.chmod(0o755)
    (repository / "short.py").write_text(
        "import pathlib, prefect_ml\n"
        "with prefect_ml.start_run() as run: pass\n"
        "seen = prefect_ml.get_run(run.id)\n"
        "print(run.id, seen.status, seen.source.commit)\n"
        f"pathlib.Path({str(go)!r}).touch()\n"
    )
    run_id, status, commit = train(repository, script="short.py", PATH=f"{slow.parent}:{os.environ['PATH']}")
    assert (status, commit) == ("Completed", "None")
    assert get_run(run_id).source.commit == git(repository, "rev-parse", "HEAD")


def test_the_patch_of_a_short_script_reaches_another_machine(
    repository: Path, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**s3.environ, "PREFECT_ML_ARTIFACT_ROOT": "s3://bucket/capture"}.items():
        monkeypatch.setenv(name, value)
    (repository / "new.py").write_text("new = True\n")
    (run_id,) = train(repository)
    changes = str(get_run(run_id).source.changes)
    assert changes.startswith("s3://bucket/capture/code/")
    assert "+new = True" in fetch(changes, tmp_path / "changes.diff").read_text()


def test_every_package_is_recorded_once_for_all_runs(repository: Path) -> None:
    ids = train(repository, "2")
    environments = [run_environment(run_id) for run_id in ids]
    assert environments[0] == environments[1]
    assert environments[0] is not None
    installed = {
        re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.version for one in importlib.metadata.distributions()
    }
    recorded = environments[0].packages
    assert {name: version for name, version in installed.items() if recorded.get(name) != version} == {}
    assert environments[0].python == ".".join(map(str, sys.version_info[:3]))
    assert "Linux" in environments[0].platform or "Darwin" in environments[0].platform


def test_once_the_software_is_in_the_store_runs_refer_to_it_from_the_beginning(repository: Path) -> None:
    (repository / "many.py").write_text(
        "import time, prefect_ml\n"
        "for _ in range(2000):\n"
        "    with prefect_ml.start_run() as run: pass\n"
        "    if run.capture.environment: break\n"
        "    time.sleep(0.01)\n"
        "print(run.capture.environment, run.capture.source.commit)\n"
    )
    digest, commit = train(repository, script="many.py")
    assert commit == git(repository, "rev-parse", "HEAD")
    environments = {environment.digest for run in search_runs(limit=5000) if (environment := run_environment(run.id))}
    assert environments == {digest}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_record_it_too(repository: Path, method: str) -> None:
    (repository / "pool.py").write_text(
        "import multiprocessing, prefect_ml\n"
        "@prefect_ml.track\n"
        "def work(n): return prefect_ml.current_run().id\n"
        "if __name__ == '__main__':\n"
        "    with prefect_ml.start_run() as run: pass\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    with context.Pool(2) as pool:\n"
        "        ids = pool.map(work, range(2), chunksize=1)\n"
        "        pool.close(); pool.join()\n"
        "    print(run.id, *ids)\n"
    )
    commit = git(repository, "rev-parse", "HEAD")
    for run_id in train(repository, script="pool.py"):
        assert get_run(run_id).source.commit == commit
        assert run_environment(run_id) is not None


FLOW = """
import json
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.flow_engine import run_flow
from prefect.states import Pending
from pydantic import BaseModel, SecretStr
from prefect_ml import current_run
from prefect_ml.blocks import ArtifactStore
from prefect_ml.tasks import tracked_flow, tracked_task

class Options(BaseModel):
    depth: int = 3
    secret: SecretStr = SecretStr("hunter2")

@tracked_task
def fit(n):
    return current_run().id

@tracked_flow(name="training")
def training(alpha: float = 0.5, options: Options = Options(), api_token: str = "hunter2", store: object = None):
    return [current_run().id, fit(1)]

if __name__ == "__main__":
    direct = training(store=ArtifactStore(url="memory://x", credentials={"key": "hunter2"}), alpha=float("nan"))
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="nobody-works-here", type="process"))
        deployment = client.create_deployment(
            flow_id=client.create_flow(training), name="nightly", work_pool_name="nobody-works-here"
        )
        run = client.create_flow_run_from_deployment(deployment, parameters={"alpha": 0.25}, state=Pending())
    deployed = run_flow(training, flow_run=run, parameters={"alpha": 0.25})
    print(json.dumps([direct, deployed]))
"""


def test_the_flow_deployment_work_pool_and_parameters_are_recorded_and_secrets_masked(
    laptop: Any, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    environ = {
        "PREFECT_API_URL": laptop.api_url,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_ML_STORE_URL": f"sqlite:///{home / 'store.db'}",
        "PREFECT_ML_ARTIFACT_ROOT": str(home / "artifacts"),
    }
    direct, deployed = json.loads(" ".join(train(tmp_path, script="flow.py", **environ)))
    facts = get_run(direct[0]).source.prefect or {}
    assert facts["flow"] == "training"
    assert facts["parameters"] == {
        "alpha": "nan",
        "options": {"depth": 3, "secret": "**********"},
        "api_token": "**********",
        "store": "<ArtifactStore>",
    }
    assert "hunter2" not in json.dumps(facts)
    inner = get_run(direct[1]).source.prefect or {}
    assert (inner["flow"], inner["task"], inner["flow_run"]) == ("training", "fit", facts["flow_run"])
    facts = get_run(deployed[0]).source.prefect or {}
    assert (facts["deployment"], facts["work_pool"], facts["parameters"]["alpha"]) == (
        "nightly",
        "nobody-works-here",
        0.25,
    )
