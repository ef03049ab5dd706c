"""Environments of each kind, made real: commands run in them and in nothing else, and they say what they hold."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from uv import find_uv_bin

from prefect_ml.environments import Declared, Environment, declared_of, declared_of_lock, realise
from prefect_ml.environments.steps import declare_environment, enter_project
from prefect_ml.errors import EnvironmentFailed

SMALL = Declared(requirements="tabulate==0.9.0\n", origin="a test")
PYPROJECT = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["tabulate<0.10"]\n'
WHERE = "python -c 'import sys; print(sys.prefix)'"


def project(folder: Path, **files: str) -> Path:
    """Write a project; `uv_lock="..."` becomes `uv.lock`, `python_env_yaml` becomes `python_env.yaml`."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / ".".join(name.rsplit("_", 1))).write_text(text)
    return folder


def said_in(environment: Environment, command: str, folder: Path, **environ: str) -> list[str]:
    started = environment.start(command, folder=folder, environ=environ)
    lines = list(started.lines())
    assert started.wait() == 0, lines
    return lines


def uv_lock(folder: Path) -> None:
    subprocess.run([find_uv_bin(), "lock", "--quiet"], cwd=folder, check=True)


def test_a_command_runs_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/from/the/caller")
    environment = realise(SMALL, root=tmp_path / "root")
    command = f"{WHERE}; pwd; echo $VIRTUAL_ENV $PYTHONPATH $TEAM; python -c 'import tabulate'"
    prefix = str(environment.prefix)
    assert said_in(environment, command, tmp_path, TEAM="a b") == [prefix, str(tmp_path), f"{prefix} a b"]
    assert environment.kind == "uv"
    assert environment.digest == SMALL.digest


def test_what_an_environment_holds_can_be_built_again(tmp_path: Path) -> None:
    environment = realise(SMALL, root=tmp_path)
    facts = environment.facts()
    assert facts.packages == {"tabulate": "0.9.0"}
    assert facts.python == platform.python_version()
    assert facts.platform.startswith(platform.system())
    again = declared_of_lock(facts.lock, origin="a run")
    assert again.python == facts.python
    assert realise(again, root=tmp_path).facts() == facts
    with pytest.raises(EnvironmentFailed, match="no lock of an environment"):
        declared_of_lock("six\n", origin="a run")


def test_what_is_not_built_by_a_commands_start_is_said(tmp_path: Path) -> None:
    environment = realise(SMALL, root=tmp_path / "root")
    shutil.rmtree(environment.prefix)
    with pytest.raises(EnvironmentFailed, match="removed meanwhile"):
        environment.start("true", folder=tmp_path, environ={})


def test_a_python_env_with_another_python_gets_that_python(tmp_path: Path) -> None:
    other = next((path for minor in (12, 13, 10, 9, 8) if (path := other_python(minor))), None)
    if other is None:
        pytest.skip("no other Python is installed")
    folder = project(
        tmp_path / "p",
        python_env_yaml=f"python: {other}\nbuild_dependencies: [setuptools]\ndependencies: [-r requirements.txt]\n",
        requirements_txt="tabulate==0.9.0\n",
    )
    lines: list[str] = []
    environment = realise(declared_of(folder), root=tmp_path, report=lines.append)
    command = "python -c 'import setuptools, tabulate, platform; print(platform.python_version())'"
    assert said_in(environment, command, folder) == [environment.facts().python]
    assert environment.facts().python.startswith(f"{other}.")
    assert any("Building" in line for line in lines)


def other_python(minor: int) -> str | None:
    found = subprocess.run(
        [find_uv_bin(), "python", "find", "--no-python-downloads", f"3.{minor}"], capture_output=True, check=False
    )
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv").glob(f"versions/3.{minor}.*/bin/python")
    return f"3.{minor}" if (found.returncode == 0 or any(pyenv)) and sys.version_info[1] != minor else None


@pytest.mark.parametrize(
    ("python", "said"),
    [("3.99", "declares Python 3.99, which is not installed"), ("2.7", "with Python 3.6 and newer")],
)
def test_a_python_that_cannot_be_had_is_refused(tmp_path: Path, python: str, said: str) -> None:
    folder = project(tmp_path / "p", python_env_yaml=f"python: {python}\n")
    with pytest.raises(EnvironmentFailed, match=said) as caught:
        realise(declared_of(folder), root=tmp_path / "root")
    assert ("installed are" in str(caught.value)) == (python == "3.99")
    assert (platform.python_version() in str(caught.value)) == (python == "3.99")
    assert str(folder / "python_env.yaml") in str(caught.value)
    assert not list((tmp_path / "root").glob("*[!k]"))


def test_a_uv_lock_is_built_as_it_is_locked(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", pyproject_toml=PYPROJECT)
    (folder / "src" / "p").mkdir(parents=True)
    (folder / "src" / "p" / "__init__.py").write_text("NAME = 'mine'\n")
    uv_lock(folder)
    before = sorted(folder.iterdir())
    environment = realise(declared_of(folder), root=tmp_path / "root")
    assert environment.facts().packages == {"tabulate": "0.9.0"}
    assert "--hash=sha256:" in environment.facts().lock
    assert said_in(environment, "python -c 'import p, tabulate; print(p.NAME)'", folder) == ["mine"]
    assert sorted(folder.iterdir()) == before, "building leaves the project alone"
    assert realise(declared_of_lock(environment.facts().lock, origin="a run"), root=tmp_path / "root").facts().packages


def test_a_uv_lock_that_is_not_its_pyprojects_is_refused(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", pyproject_toml=PYPROJECT)
    uv_lock(folder)
    project(folder, pyproject_toml=PYPROJECT.replace("<0.10", "<0.9"))
    with pytest.raises(EnvironmentFailed, match="run `uv lock` again"):
        realise(declared_of(folder), root=tmp_path / "root")


def test_a_uv_lock_that_holds_a_folder_of_this_machine_is_refused(tmp_path: Path) -> None:
    project(tmp_path / "other", pyproject_toml='[project]\nname = "other"\nversion = "1"\n')
    text = PYPROJECT.replace('"tabulate<0.10"', '"other"') + '[tool.uv.sources]\nother = { path = "../other" }\n'
    folder = project(tmp_path / "p", pyproject_toml=text)
    uv_lock(folder)
    with pytest.raises(EnvironmentFailed, match="a folder of this machine"):
        realise(declared_of(folder), root=tmp_path / "root")
    assert not list((tmp_path / "root").glob("*[!k]"))


def test_the_environment_at_hand_is_this_one(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", requirements_txt="no-such-package-of-anybody\n")
    environment = realise(declared_of(folder, kind="system"), root=tmp_path / "root")
    assert environment.kind == "system"
    assert said_in(environment, f"{WHERE}; python -c 'import sys; print(sys.version.split()[0])'", folder) == [
        sys.prefix,
        platform.python_version(),
    ]
    facts = environment.facts()
    assert facts.packages["pytest"] == pytest.__version__
    assert f"pytest=={pytest.__version__}\n" in facts.lock
    assert not (tmp_path / "root").exists(), "nothing is built"
    project(folder, python_env_yaml="python: 3.8\n")
    with pytest.raises(
        EnvironmentFailed, match=f"declares Python 3.8, and the interpreter at hand .* is Python {facts.python}"
    ):
        realise(declared_of(folder, kind="system"), root=tmp_path / "root")


def write_channel(folder: Path) -> str:
    """Write a conda channel with one package, whose program needs the variable that its activation script sets."""
    index = {"name": "r-hello", "version": "1.2", "build": "0", "build_number": 0, "depends": [], "subdir": "noarch"}
    files = {
        "bin/hello": b"#!/bin/sh\necho hello from $HELLO_HOME\n",
        "etc/conda/activate.d/hello.sh": b"export HELLO_HOME=$CONDA_PREFIX/hello\n",
    }
    paths = {"paths": [{"_path": name, "path_type": "hardlink"} for name in files], "paths_version": 1}
    info = {"info/index.json": json.dumps(index), "info/paths.json": json.dumps(paths), "info/files": "\n".join(files)}
    packed = folder / "noarch" / "r-hello-1.2-0.tar.bz2"
    packed.parent.mkdir(parents=True)
    with tarfile.open(packed, "w:bz2") as archive:
        for name, content in {**files, **{name: text.encode() for name, text in info.items()}}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    content = packed.read_bytes()
    index |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    for name in ("noarch", "linux-64", "linux-aarch64", "osx-64", "osx-arm64"):
        records = {packed.name: index} if name == "noarch" else {}
        about = {"info": {"subdir": name}, "packages": records, "packages.conda": {}, "repodata_version": 1}
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "repodata.json").write_text(json.dumps(about))
    return folder.as_uri()


def test_a_conda_tool_builds_what_only_conda_has(tmp_path: Path) -> None:
    if not any(map(shutil.which, ("micromamba", "mamba", "conda", "pixi"))):
        pytest.skip("no conda tool is installed")
    channel = write_channel(tmp_path / "channel")
    text = "channels: [CHANNEL]\nvariables: {TEAM: a b}\ndependencies: [r-hello=1.2]\n".replace("CHANNEL", channel)
    folder = project(tmp_path / "p", conda_yaml=text)
    environment = realise(declared_of(folder), root=tmp_path / "root")
    assert environment.kind == "conda"
    lines = said_in(environment, "hello; echo $TEAM", folder)
    assert lines == [f"hello from {environment.prefix}/hello", "a b"]
    facts = environment.facts()
    assert facts.packages == {"r-hello": "1.2"}
    assert (
        realise(declared_of_lock(facts.lock, origin="a run"), root=tmp_path / "root").facts().packages == facts.packages
    )
    project(folder, conda_yaml=text.replace("r-hello=1.2", "r-hello=1.3"))
    with pytest.raises(EnvironmentFailed, match="r-hello"):
        realise(declared_of(folder), root=tmp_path / "root")


@pytest.mark.parametrize("file", ["uv_lock", "python_env_yaml", "conda_yaml"])
def test_prefect_starts_flows_in_each_declared_environment(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """What Prefect does after the steps is `uv run --project FOLDER ...`; here it is done with nothing around it."""
    # Prefect looks for its own name there; so small an environment is built at once.
    text = PYPROJECT.replace('0.10"]', '0.10", "prefect; python_version < \'3\'"]')
    folder = project(tmp_path / "p", pyproject_toml=text)
    (folder / "src").mkdir()
    (folder / "src" / "mine.py").write_text("")
    if file == "uv_lock":
        uv_lock(folder)
    else:
        project(folder, **{file: "dependencies: [tabulate]\n"})
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    for key in ("UV_PROJECT_ENVIRONMENT", "UV_NO_SYNC", "PYTHONPATH"):
        monkeypatch.setenv(key, "")  # what the step sets must not outlive this test
    declared = declare_environment(str(folder))
    enter_project(declared["directory"])
    command = ["uv", "run", "--no-default-groups", "--project", str(folder), "python", "-c"]
    command.append("import sys, tabulate, mine; print(sys.prefix)")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(home / "environments" / declared["digest"])
    assert not (folder / ".venv").exists()


def test_an_environment_that_prefect_would_not_use_is_refused(home: Path, tmp_path: Path) -> None:
    other = next((path for minor in (10, 9, 8) if (path := other_python(minor))), None)
    text = PYPROJECT.replace("tabulate<0.10", "prefect")
    folder = project(tmp_path / "p", pyproject_toml=text, conda_yaml="dependencies: [r-base]\n")
    with pytest.raises(EnvironmentFailed, match="r-base"):
        declare_environment(str(folder))
    (folder / "conda.yaml").unlink()
    if other is None:
        pytest.skip("no other Python is installed")
    project(folder, python_env_yaml=f"python: {other}\n")
    with pytest.raises(EnvironmentFailed, match="make them agree"):
        declare_environment(str(folder))
