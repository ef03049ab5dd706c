"""Runs of projects outside of Prefect: their record, their output, and that nothing of a command outlives its run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from prefect_ml import download_artifacts, get_run, list_artifacts, run_project, search_runs
from prefect_ml.environments import realise
from prefect_ml.environments.declared import Declared
from prefect_ml.errors import ProjectError, ProjectRunFailed
from prefect_ml.store import Run
from prefect_ml.store.environments import run_environment

OUTPUT = "project/output.txt"


def project(folder: Path, command: str, *, parameters: str = "{}", **files: str) -> Path:
    """Write a project whose entry point `main` runs a command, and other files: `train_py="..."` is `train.py`."""
    folder.mkdir(parents=True, exist_ok=True)
    indented = "\n".join(f"      {line}" for line in command.splitlines())
    text = f"name: p\nentry_points:\n  main:\n    parameters: {parameters}\n    command: |\n{indented}\n"
    for name, content in {"MLproject": text, **files}.items():
        (folder / ".".join(name.rsplit("_", 1))).write_text(content)
    return folder


def ran(folder: Path, **options: Any) -> Run:
    return get_run(run_project(folder, environment="system", report=lambda _: None, **options).run_id)


def text_of(run: Run, path: str = OUTPUT) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return Path(download_artifacts(run.id, path, to=folder)).read_text()


def only_run() -> Run:
    (run,) = search_runs("")
    return run


def git(folder: Path, *arguments: str) -> str:
    told = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *arguments]
    return subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Callable[[], list[psutil.Process]]]:
    """Give what lives of the processes that have written their ids into files `tmp_path/pid.*`; end them at last."""

    def alive() -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for file in tmp_path.glob("pid.*"):
            with contextlib.suppress(psutil.Error, ValueError):
                process = psutil.Process(int(file.read_text()))
                found += [process] if process.status() != psutil.STATUS_ZOMBIE else []
        return found

    yield alive
    for process in alive():
        with contextlib.suppress(psutil.Error):
            process.kill()


def family(folder: Path) -> str:
    """Give a command whose processes try to live on: one that is deaf, one in a session of its own, an orphan."""
    return (
        f"bash -c 'trap \"\" TERM INT HUP; echo $$ > {folder}/pid.deaf; sleep 600; sleep 600' &\n"
        f"setsid bash -c 'echo $$ > {folder}/pid.away; exec sleep 600' &\n"
        f"(setsid bash -c 'echo $$ > {folder}/pid.orphan; exec sleep 600' &)\n"
        f"echo $$ > {folder}/pid.shell; echo started; sleep 600; wait\n"
    )


def until(condition: Callable[[], object]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it has not come about in a minute")


def started(folder: Path) -> bool:
    names = ("deaf", "away", "orphan", "shell")
    return all((file := folder / f"pid.{name}").exists() and file.read_text().strip() for name in names)


@contextlib.contextmanager
def cli(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "prefect_ml.cli", "run", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


def test_a_run_says_what_ran_in_what_and_keeps_the_output(home: Path, tmp_path: Path) -> None:
    command = "echo {alpha} {note}; echo error >&2; pwd; echo $PREFECT_ML_PROJECT"
    parameters = "{alpha: {type: float, default: 0.10}, note: string}"
    folder = project(tmp_path / "p", command, parameters=parameters)
    lines: list[str] = []
    note = "a 'b' $HOME; x"
    outcome = run_project(folder, params={"note": note}, environment="system", report=lines.append, experiment="e")
    run = get_run(outcome.run_id)
    assert (run.status, run.name, run.experiment, outcome.state) == ("Completed", "p-main", "e", "Completed")
    assert lines[:3] == [f"0.10 {note}", "error", str(folder)]
    assert text_of(run).splitlines() == lines
    assert dict(run.params) == {"alpha": "0.10", "note": note}, "as they were given, and as the default was written"
    assert run.tags["exit_code"] == "0"
    assert run.source.project == str(folder)
    assert run.source.entry_point == "main"
    assert run.source.commit is None
    assert run.source.environment == f"system:{outcome.environment}"
    assert json.loads(lines[3])["project"] == str(folder)
    assert json.loads(text_of(run, "project/inputs.json"))["params"] == {"alpha": "0.10", "note": note}
    assert "prefect" in text_of(run, "project/environment.lock")


def test_the_recorded_software_is_that_of_the_projects_environment(
    home: Path, tmp_path: Path, environments: Path
) -> None:
    home.mkdir()
    (home / "environments").symlink_to(environments)
    realise(Declared(requirements="tabulate==0.9.0\n", origin="a test"), root=environments)
    folder = project(tmp_path / "p", "python -c 'import tabulate'", requirements_txt="tabulate==0.9.0\n")
    run = get_run(run_project(folder, report=lambda _: None).run_id)
    software = run_environment(run.id)
    assert software is not None
    assert dict(software.packages) == {"tabulate": "0.9.0"}
    assert run.source.environment is not None
    assert run.source.environment.startswith("uv:")


def test_a_run_of_a_repository_says_which_commit(home: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    project(work / "models" / "linear", "cat version; git rev-parse HEAD; touch made")
    (work / "models" / "linear" / "version").write_text("one\n")
    git(tmp_path, "init", "-q", "-b", "main", "work")
    git(work, "add", ".")
    git(work, "commit", "-qm", "One")
    git(work, "tag", "v1")
    first = git(work, "rev-parse", "HEAD")
    (work / "models" / "linear" / "version").write_text("two\n")
    git(work, "commit", "-qam", "Two")
    git(tmp_path, "clone", "-q", "--bare", "work", "wine.git")
    uri = f"{tmp_path / 'wine.git'}#models/linear"
    outcome = run_project(uri, version="v1", environment="system", report=lambda _: None)
    run = get_run(outcome.run_id)
    assert text_of(run).split() == ["one", first]
    assert outcome.version == run.source.commit == first
    assert run.source.subfolder == "models/linear"
    assert run.source.version == "v1"
    assert run.source.dirty is False
    with pytest.raises(ProjectError, match=f"^The project {uri} has no entry point 'mian'.*; it has main"):
        run_project(uri, entry_point="mian", report=lambda _: None)
    newest = get_run(run_project(uri, environment="system", report=lambda _: None).run_id)
    assert text_of(newest).split()[0] == "two"
    assert newest.source.commit == git(work, "rev-parse", "HEAD")
    assert newest.source.branch == "main"

    (work / "models" / "linear" / "version").write_text("three\n")
    changed = ran(work / "models" / "linear")
    assert changed.source.commit == newest.source.commit
    assert changed.source.dirty is True
    assert changed.source.changes


@pytest.mark.parametrize("sub", ["", "#parts/one"])
def test_what_is_wrong_in_a_fetched_project_is_named_by_its_address(home: Path, tmp_path: Path, sub: str) -> None:
    work, bare = tmp_path / "work", tmp_path / "p.git"
    folder = project(work / sub.removeprefix("#"), "true", parameters="{n: flot}")
    project(folder / "declares", "true", conda_yaml="dependencies: [r-base]\n")
    git(work, "init", "-q")
    git(work, "add", ".")
    git(work, "commit", "-qm", "one")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(bare))
    inside = f"{bare}{sub}/" if sub else f"{bare}#"
    with pytest.raises(ProjectError) as caught:
        run_project(f"git+file://{bare}{sub}")
    assert str(caught.value).startswith(f"{inside}MLproject:4:21: the parameter 'n' of 'main'")
    with pytest.raises(ProjectError) as caught:
        run_project(f"git+file://{bare}{sub or '#'}{'/' if sub else ''}declares", environment="uv")
    assert f"{inside}declares/conda.yaml" in str(caught.value)
    assert str(home) not in str(caught.value)


def test_a_command_that_fails_leaves_its_output_and_says_how_it_ended(home: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "echo before; exit 3")
    with pytest.raises(ProjectRunFailed, match="its command ended with exit code 3; its") as caught:
        run_project(folder, environment="system", report=lambda _: None)
    assert caught.value.exit_code == 1
    run = only_run()
    assert (run.status, run.tags["exit_code"], text_of(run)) == ("Failed", "3", "before\n")
    project(folder, "kill -9 $$")
    with pytest.raises(ProjectRunFailed, match="was ended by signal 9"):
        run_project(folder, environment="system", report=lambda _: None)


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("Rscript-of-nobody plot.R; exit $?", "Rscript-of-nobody"),
        ("/bin/sh -c 'python-of-nobody x.py'", "python-of-nobody"),
        ("env python-of-nobody x.py", "python-of-nobody"),
        ("./absent.sh", "./absent.sh"),
        ("echo 'it: command not founded'; exit 127", None),
    ],
)
def test_a_program_that_is_missing_is_named(home: Path, tmp_path: Path, command: str, missing: str | None) -> None:
    with pytest.raises(ProjectRunFailed, match="ended with exit code 127") as caught:
        run_project(project(tmp_path / "p", command), environment="system", report=lambda _: None)
    said = f"there is no program {missing!r} in its environment: install or declare it"
    assert (said in str(caught.value)) == (missing is not None)


def test_all_that_is_wrong_is_said_at_once_and_nothing_starts(home: Path, tmp_path: Path) -> None:
    parameters = "{a: float, n: int, data: path, more: string}"
    folder = project(tmp_path / "p", "echo {a} {n} {data} {more}", parameters=parameters, requirements_txt="none==0\n")
    with pytest.raises(ProjectError) as caught:
        run_project(folder, params={"a": "much", "n": "1.5", "data": "nowhere.csv"})
    for word in ("a must be a float", "n must be an int", "data must be a path", "more has no value"):
        assert word in str(caught.value)
    assert caught.value.exit_code == 2
    assert search_runs("") == []
    assert not (home / "environments").exists()


def test_a_command_that_takes_too_long_is_stopped(
    home: Path, tmp_path: Path, tree: Callable[[], list[psutil.Process]]
) -> None:
    last_words = "trap 'echo saved; exit 0' TERM\n"
    folder = project(tmp_path / "p", f"{last_words}echo $$ > {tmp_path}/pid.shell; echo started; sleep 600 & wait")
    with pytest.raises(ProjectRunFailed, match=r"was stopped: it ran for longer than 1\.5 seconds"):
        run_project(folder, environment="system", report=lambda _: None, timeout=1.5)
    assert tree() == []
    run = only_run()
    assert run.status == "Failed"
    assert text_of(run) == "started\nsaved\n", "what it says when it is asked to end is kept too"


def test_an_interrupt_ends_every_process_of_the_command(
    home: Path, tmp_path: Path, tree: Callable[[], list[psutil.Process]]
) -> None:
    folder = project(tmp_path / "p", family(tmp_path))
    code = "import sys; from prefect_ml.flows.projects import execution; execution.GRACE = 1.0\n"
    code += "from prefect_ml.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "run", str(folder), "--environment", "system"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            until(lambda: started(tmp_path))
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 130
    assert said.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in said
    assert tree() == []
    assert only_run().status == "Cancelled"


def test_what_a_killed_runner_has_started_does_not_run_on(
    home: Path, tmp_path: Path, tree: Callable[[], list[psutil.Process]]
) -> None:
    folder = project(tmp_path / "p", family(tmp_path))
    with cli(str(folder), "--environment", "system") as child:
        until(lambda: started(tmp_path))
        assert len(tree()) == 4
        child.kill()
        child.wait()
        until(lambda: tree() == [])


def test_what_a_command_leaves_behind_is_ended_with_it(
    home: Path, tmp_path: Path, tree: Callable[[], list[psutil.Process]]
) -> None:
    command = f"(setsid bash -c 'echo $$ > {tmp_path}/pid.daemon; exec sleep 600' &)\n"
    folder = project(tmp_path / "p", f"{command}while [ ! -s {tmp_path}/pid.daemon ]; do sleep .05; done; echo done")
    assert text_of(ran(folder)) == "done\n"
    assert tree() == []


def test_much_output_is_kept_whole_and_shown_as_a_terminal_would(home: Path, tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "for i in range(100_000): print(i)\n"
        "print('x' * 3_000_000)\n"
        "print('1 %\\r50 %\\r100 %')\n"
        "sys.stdout.flush(); os.write(1, b'\\xff\\x00\\xfe no newline')\n"
    )
    lines: list[str] = []
    folder = project(tmp_path / "p", "python out.py", out_py=script)
    run = get_run(run_project(folder, environment="system", report=lines.append).run_id)
    assert lines[:100_000] == [str(i) for i in range(100_000)]
    assert lines[-2:] == ["100 %", "\ufffd\ufffd\ufffd no newline"]
    assert max(map(len, lines)) <= 10_001
    assert text_of(run).count("x") == 3_000_000


def test_code_inside_joins_the_run(home: Path, tmp_path: Path) -> None:
    script = "import prefect_ml as m\nwith m.start_run() as run: m.log_metric('loss', 0.5)\nprint(run.id)\n"
    run = ran(project(tmp_path / "p", "python train.py", train_py=script))
    assert text_of(run) == f"{run.id}\n"
    assert dict(run.metrics) == {"loss": 0.5}
    assert len(search_runs("")) == 1


def test_a_command_keeps_off_variables_of_the_callers_interpreter(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/from/the/caller")
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "another")
    folder = project(tmp_path / "p", "echo ${PYTHONPATH:-none} ${PREFECT__FLOW_RUN_ID:-none}; cat")
    assert text_of(ran(folder)) == "none none\n", "and nothing waits for input"


def shown(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prefect_ml.cli", *arguments]
    return subprocess.run(
        command, env={**os.environ, **(environ or {})}, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_command_line_runs_a_project(home: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "echo {n}", parameters="{n: int}")
    done = shown("run", str(folder), "--environment", "system", "-P", "n=3", "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["state"] == "Completed"
    assert get_run(outcome["run_id"]).params == {"n": "3"}
    assert "3" in done.stderr.splitlines()
    plain = shown("run", str(folder), "--environment", "system", "-P", "n=3")
    assert plain.stdout.startswith("main is Completed: run ")
    wrong = shown("run", str(folder), "--environment", "system")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == ("Error: The entry point 'main' cannot run: n has no value; give it with -P n=VALUE.\n")
    project(folder, "exit 4")
    failed = shown("run", str(folder), "--environment", "system")
    assert failed.returncode == 1
    assert failed.stderr.startswith(
        f"Error: The entry point 'main' of {folder} failed: its command ended with exit code 4;"
    )
    assert list_artifacts(only_failed().id)


def only_failed() -> Run:
    (run,) = search_runs("status = 'Failed'")
    return run


def test_collected_copies_of_projects_are_listed_in_json(home: Path, tmp_path: Path) -> None:
    project(tmp_path / "p", "true")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(tmp_path / "p" / "MLproject", "MLproject")
    run_project(str(tmp_path / "p.zip"), environment="system", report=lambda _: None)
    dry = shown("environments", "gc", "--older-than", "0", "--dry-run", "--json")
    found = [one for one in json.loads(dry.stdout) if one["kind"] == "copy"]
    assert found
    assert all(Path(one["path"]).is_relative_to(home) and Path(one["path"]).is_dir() for one in found)
    gone = json.loads(shown("environments", "gc", "--older-than", "0", "--json").stdout)
    assert [one for one in gone if one["kind"] == "copy"] == found
    assert not any(Path(one["path"]).exists() for one in found)


def test_a_server_that_is_not_there_is_named_in_one_sentence(home: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "true")
    environ = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = shown("run", str(folder), "--environment", "system", environ=environ)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("unset PREFECT_API_URL to run without it.")
    assert "Traceback" not in done.stderr
