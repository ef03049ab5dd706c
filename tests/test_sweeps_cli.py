"""`prefect-ml sweep`: how a space is written, what it answers, and how it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from prefect_ml import count_runs, get_run, search_runs
from prefect_ml.cli import cli

PROJECT = """
name: hills
entry_points:
  main:
    parameters: {x: float, n: int, how: {type: string, default: up}}
    command: "python climb.py {x} {n} {how}"
  broken:
    parameters: {x: float}
    command: "exit 3"
"""
CLIMB = """
import sys
from prefect_ml import log_metric
log_metric("height", float(sys.argv[1]) + int(sys.argv[2]))
"""


@pytest.fixture
def project(home: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "hills"
    folder.mkdir()
    (folder / "MLproject").write_text(PROJECT)
    (folder / "climb.py").write_text(CLIMB)
    return folder


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prefect_ml.cli", "sweep", *map(str, arguments), "--environment", "system"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_project_is_swept_and_resumed(project: Path) -> None:
    about = ["--objective", "height", "--maximize", "--experiment", "alps", "--name", "how high"]
    begun = run(project, "-S", "x=0.5,2", "-S", "n=1..2", "--method", "grid", "--timeout", "0", "--json", *about)
    assert begun.returncode == 0, begun.stderr
    told = json.loads(begun.stdout)
    assert (told["trials"], told["best"], told["counts"]["completed"]) == ([], None, 0)
    done = run(project, "--resume", told["run_id"][:12], "--parallel", "2", "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert (again["run_id"], again["best_params"], again["best_value"]) == (told["run_id"], {"x": 2, "n": 2}, 4.0)
    assert [one["params"] for one in again["trials"]] == [
        {"x": x, "n": n} for x in ("0.5", "2") for n in ("1", "2")
    ]  # fmt: skip
    assert again["best"]["id"] == again["trials"][-1]["id"]
    swept = get_run(told["run_id"])
    assert (swept.name, swept.experiment, swept.params["direction"]) == ("how high", "alps", "maximize")
    shown = run(project, "--resume", told["run_id"])
    assert shown.stdout.startswith("Sweep ")
    assert "4 completed" in shown.stdout
    assert "n = 2" in shown.stdout
    other = run(project, "--resume", told["run_id"], "-e", "broken")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "is one of 'hills:main', not of 'hills:broken'" in other.stderr


def test_a_sweep_whose_trials_fail_says_why(project: Path) -> None:
    done = run(project, "-e", "broken", "-S", "x=1.0,2.0", "--method", "grid", "--max-failures", "0")
    assert done.returncode == 1
    assert "1 trials have failed, and 0 may; trial-0 with" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("0.1..1.0", {"uniform": [0.1, 1.0]}),
        ("0..1:0.25", {"uniform": [0, 1, 0.25]}),
        ("-1..1", {"integers": [-1, 1, 1]}),
        ("10..100:10", {"integers": [10, 100, 10]}),
        ("1e-5..1:log", {"loguniform": [1e-05, 1]}),
        ("3", {"choice": [3]}),
        ("adam,sgd", {"choice": ["adam", "sgd"]}),
        ("1,0.5,1e-3,007", {"choice": [1, 0.5, "1e-3", "007"]}),
        ("../a,../b", {"choice": ["../a", "../b"]}),
    ],
)
def test_a_space_is_written_as_ranges_and_lists(project: Path, written: str, kept: object) -> None:
    axes = ["-S", f"how={written}", "-S", "x=1.0", "-S", "n=1"]
    asked = ["sweep", str(project), *axes, "--environment", "system", "--trials", "1", "--timeout", "0"]
    result = CliRunner().invoke(cli, asked, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (swept,) = search_runs("tags.sweep = 'true'")
    assert json.loads(swept.params["space"])["how"] == kept


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("x", "'x' is not of the form key=value"),
        ("x=", "x lists an empty value"),
        ("x=1,,2", "x lists an empty value"),
        ("x=1..", "x=1.. is no range; write"),
        ("x=a..b", "'a' in the range of x is no number"),
        ("x=0..1:fast", "'fast' in the range of x is no number"),
        ("x=2..1", "'x' of the space begins at 2 and ends at 1"),
        ("x=0..1:log", "'x' of the space begins at 0 or below"),
        ("x=1..5:0", "'x' of the space has a step below 1"),
        ("x=1,1", "offers a value twice"),
        ("x=0..inf", "has no finite limits"),
    ],
)
def test_what_is_no_space_is_refused_in_one_sentence(project: Path, written: str, said: str) -> None:
    done = CliRunner().invoke(cli, ["sweep", str(project), "-S", written])
    words = " ".join(done.output.split()) + str(done.exception)
    assert said in words, words
    assert done.exit_code != 0
    assert count_runs() == 0
