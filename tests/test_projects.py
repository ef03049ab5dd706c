"""Projects: a flow runs in the environment that its project declares, and nowhere else."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prefect_ml import get_model_version, get_run, metric_history, run_project, search_runs
from prefect_ml.environments import declared_of
from prefect_ml.environments.steps import declare_environment, enter_project
from prefect_ml.errors import EnvironmentFailed, ProjectError, ProjectRunFailed
from prefect_ml.flows.projects.descriptor import read_project

DIGITS = Path(__file__).resolve().parent.parent / "examples" / "digits"
PYPROJECT = '[project]\nname = "p"\nversion = "1"\ndependencies = ["prefect", "prefect-ml"]\n'
TWO_FLOWS = """
from prefect import flow
import prefect_ml.tasks as t

@flow
def first(): ...

@t.tracked_flow(retries=1)
async def second(): ...

@flow.no_flow
def third(): ...
"""
PROOF = """
import sys
import tabulate
from prefect_ml.tasks import tracked_flow
from train import digits

@tracked_flow(declared_environment=True)
def proof():
    return {**digits(epochs=3), "python": sys.executable, "tabulate": tabulate.__file__}
"""


def project(folder: Path, **files: str) -> Path:
    """Write a project; `train_py="..."` becomes `train.py`."""
    folder.mkdir(exist_ok=True)
    for name, text in {"pyproject_toml": PYPROJECT, "requirements_txt": "prefect\n", **files}.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def asked_of_child(folder: Path, **params: Any) -> dict[str, Any]:
    """Put a request to the process that runs flows, in the environment of these tests."""
    request, answer = folder / "request.json", folder / "answer.json"
    request.write_text(json.dumps({"entry_point": "train.py:train", "params": params}))
    command = [sys.executable, "-m", "prefect_ml.flows.projects.child", str(request), str(answer)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    return json.loads(answer.read_text())


def found(folder: Path, name: str = "main") -> tuple[str, str | None, dict[str, Any]]:
    point = read_project(folder).find(name)
    return point.name, point.flow, dict(point.given)


def test_a_flow_is_found_by_deployment_function_file_or_because_it_is_the_only_one(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", train_py=TWO_FLOWS)
    assert found(folder, "first") == ("first", "train.py:first", {})
    assert found(folder, "train.py:second") == ("second", "train.py:second", {})
    with pytest.raises(ProjectError, match=r"no entry point 'main'; it has first, second\.$"):
        found(folder)
    deployments = "deployments:\n- {name: nightly, entrypoint: 'train.py:first', parameters: {a: 1, b: '{{ x }}'}}\n"
    project(folder, prefect_yaml=deployments)
    assert found(folder, "nightly") == ("nightly", "train.py:first", {"a": 1})
    project(folder, train_py="from prefect import flow\n@flow\ndef first(): ...\n")
    assert found(folder)[1] == "train.py:first"
    assert found(DIGITS) == ("train", "train.py:digits", {})


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "has nothing to run"),
        ({"prefect_yaml": "a: [", "train_py": TWO_FLOWS}, r"prefect\.yaml:1:5: this is not YAML"),
        ({"prefect_yaml": "- a\n", "train_py": TWO_FLOWS}, r"prefect\.yaml"),
        ({"prefect_yaml": "deployments: {a: 1}\n", "train_py": TWO_FLOWS}, r"prefect\.yaml"),
        ({"train_py": TWO_FLOWS}, "no entry point 'main'"),
    ],
)
def test_a_project_without_the_flow_is_refused_in_one_sentence(
    home: Path, tmp_path: Path, files: dict[str, str], said: str
) -> None:
    with pytest.raises(ProjectError, match=said) as caught:
        run_project(project(tmp_path / "p", **files))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not home.exists(), "nothing is built for a project that cannot run"


def test_what_a_local_project_cannot_be_given_is_refused(home: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", train_py="from prefect import flow\n@flow\ndef train(): ...\n")
    with pytest.raises(ProjectError, match="no project folder 'elsewhere'"):
        run_project("elsewhere")
    with pytest.raises(ProjectError, match="no versions"):
        run_project(folder, version="v1")
    with pytest.raises(ProjectError, match="'nix'"):
        run_project(folder, environment="nix")
    (folder / "requirements.txt").write_text("no-such-package-of-anybody\n")
    with pytest.raises(EnvironmentFailed, match="no-such-package-of-anybody"):
        run_project(folder)
    (folder / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\n')
    with pytest.raises(ProjectError, match="must list prefect-ml"):
        run_project(folder)


def test_parameters_are_checked_before_the_flow_starts(home: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", train_py="from prefect import flow\n@flow\ndef train(n: int, m: int = 1): ...\n")
    assert asked_of_child(folder, n=1, k=2) == {"refused": "The flow 'train' has no parameter 'k'; it has n, m."}
    assert "needs the parameter 'n'" in asked_of_child(folder)["refused"]
    assert "valid integer" in asked_of_child(folder, n="many")["refused"]


def test_a_module_that_cannot_be_imported_is_a_failure_with_its_reason(home: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", train_py="import no_such_module\n")
    assert "no_such_module" in asked_of_child(folder)["failed"]
    project(folder, train_py="def train(): ...\n")
    assert "not a Prefect flow" in asked_of_child(folder)["refused"]


def test_a_flow_refuses_to_run_outside_its_declared_environment(home: Path, tmp_path: Path) -> None:
    flow = (
        "from prefect_ml.tasks import tracked_flow\n@tracked_flow(declared_environment=True)\ndef train(): print(1)\n"
    )
    folder = project(tmp_path / "p", train_py=flow)
    command = [sys.executable, "-c", "import train; train.train.fn()"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"declares environment {declared_of(folder).digest}" in done.stderr
    assert search_runs("") == []


def test_the_digits_flow_runs_in_its_declared_environment(
    home: Path, environments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    home.mkdir()
    (home / "environments").symlink_to(environments)
    folder = tmp_path / "digits"
    shutil.copytree(DIGITS, folder, ignore=shutil.ignore_patterns("__pycache__", ".venv"))
    (folder / "proof.py").write_text(PROOF)
    (folder / "broken.py").write_text("import no_such_module\nfrom prefect import flow\n@flow\ndef broken(): ...\n")
    lines: list[str] = []
    done = run_project(folder, entry_point="proof", report=lines.append)

    environment = home / "environments" / done.environment
    assert done.state == "Completed"
    assert Path(done.result["python"]).parent == environment / "bin"
    assert Path(done.result["tabulate"]).is_relative_to(environment)
    assert importlib.util.find_spec("tabulate") is None, "only the project has this package"
    assert any("answers (columns) for each digit" in line for line in lines)

    trained = search_runs("", experiments=["digits"])
    sweep = [run for run in trained if run.name == "train"]
    assert len(sweep) == 4
    assert {run.status for run in sweep} == {"Completed"}
    for run in sweep:
        assert list(metric_history(run.id, "loss").steps) == [1, 2, 3]
        assert list(metric_history(run.id, "accuracy").steps) == [1, 2, 3]
    version = get_model_version("digits", done.result["version"])
    assert version.run_id == done.result["run_id"]
    assert get_run(version.run_id).metrics["accuracy"] == max(run.metrics["accuracy"] for run in sweep)

    lines.clear()
    with pytest.raises(ProjectRunFailed, match="no_such_module"):
        run_project(folder, entry_point="broken.py:broken", report=lines.append)
    assert not any("Building" in line for line in lines), "the environment is there already"


def test_a_flow_that_fails_says_why(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    flow = "from prefect import flow\n@flow\ndef train(n: int):\n    raise ValueError(f'{n + 1} is\\ntoo much')\n"
    said = asked_of_child(project(tmp_path / "p", train_py=flow), n="3")["failed"]
    assert said.endswith("ValueError: 4 is too much")


def test_the_steps_refuse_what_prefect_would_pass_over(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "p", pyproject_toml='[project]\nname = "p"\nversion = "1"\n')
    with pytest.raises(EnvironmentFailed, match="must list prefect itself"):
        declare_environment(str(folder))
    project(folder)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailed, match="uv"):
        enter_project(str(folder))
    with pytest.raises(ProjectError, match="no project folder"):
        enter_project(str(tmp_path / "elsewhere"))
    assert not home.exists()


def test_the_pull_step_makes_uv_start_in_the_declared_environment(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Prefect does after the steps is `uv run --project FOLDER ...`; here it is done with nothing around it."""
    folder = project(
        tmp_path / "p",
        pyproject_toml='[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["prefect"]\n',
        requirements_txt="tabulate==0.9.0\n",
    )
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    for key in ("UV_PROJECT_ENVIRONMENT", "UV_NO_SYNC"):
        monkeypatch.setenv(key, "")  # what the step sets must not outlive this test
    declared = declare_environment(str(folder))
    assert declared["job_env"] == {"PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "true"}
    entered = enter_project(declared["directory"])
    assert entered == {"directory": str(folder), "digest": declared["digest"]}
    command = ["uv", "run", "--no-default-groups", "--project", str(folder), "python", "-c"]
    command.append("import sys, tabulate; print(sys.prefix, tabulate.__version__)")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(home / "environments" / declared["digest"]), "0.9.0"]
    assert not (folder / "uv.lock").exists()
    assert not (folder / ".venv").exists()
