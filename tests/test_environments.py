"""Declared environments: built once, whole or not at all, from the project's own words."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from prefect_ml.environments import (
    Declared,
    Environment,
    declared_of,
    own_wheel,
    project_folder,
    realise,
    require_declared,
)
from prefect_ml.errors import EnvironmentFailed, ProjectError

ROOT = Path(__file__).resolve().parent.parent
SMALL = Declared(requirements="tabulate==0.9.0\n", origin="a test")
BUILDER = """
import sys
from pathlib import Path
from prefect_ml.environments import Declared, realise
sys.stdin.readline()
small = Declared(requirements="tabulate==0.9.0\\n", origin="a test")
print(realise(small, root=Path(sys.argv[1]), report=lambda line: print(line, file=sys.stderr)).prefix)
"""


def said_by(environment: Environment, code: str) -> str:
    return subprocess.run(
        [environment.python, "-c", code], capture_output=True, text=True, check=True, cwd=environment.prefix
    ).stdout.strip()


def left_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.suffix != ".lock")


def builder(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def write_project(folder: Path, *, dependencies: tuple[str, ...] = (), **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    listed = ", ".join(f'"{name}"' for name in dependencies)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = [{listed}]\n'
    )
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_an_environment_is_built_once_and_shared(tmp_path: Path) -> None:
    lines: list[str] = []
    first = realise(SMALL, root=tmp_path, report=lines.append)
    assert "Building" in lines[0]
    assert said_by(first, "import sys, tabulate; print(sys.prefix, tabulate.__version__)") == f"{first.prefix} 0.9.0"
    assert list(first.prefix.rglob("tabulate/__pycache__/*.pyc")), "it must start without compiling first"
    lines.clear()
    assert realise(replace(SMALL, origin="another project"), root=tmp_path, report=lines.append) == first
    assert lines == []


def test_other_words_give_another_environment() -> None:
    others = [
        replace(SMALL, requirements="tabulate==0.10.0\n"),
        replace(SMALL, python="3.11"),
        replace(SMALL, hashes=True),
        replace(SMALL, with_prefect_ml=True),
    ]
    assert len({SMALL.digest, *(other.digest for other in others)}) == 5


def test_ten_builders_at_once_build_one(tmp_path: Path) -> None:
    children = [builder(tmp_path) for _ in range(10)]
    try:
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        answers = [child.communicate(timeout=120) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert [child.returncode for child in children] == [0] * 10, answers
    assert {out.strip() for out, _ in answers} == {str(tmp_path / SMALL.digest)}
    assert sum("Building" in err for _, err in answers) == 1
    assert left_in(tmp_path) == [SMALL.digest]


def test_a_killed_build_is_done_again(tmp_path: Path) -> None:
    child = builder(tmp_path)
    try:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        assert "Building" in child.stderr.readline()
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    assert not (tmp_path / SMALL.digest / "prefect-ml-environment.json").exists()
    environment = realise(SMALL, root=tmp_path)
    assert said_by(environment, "import tabulate; print('here')") == "here"


def test_an_environment_without_its_marker_or_python_is_built_again(tmp_path: Path) -> None:
    environment = realise(SMALL, root=tmp_path)
    marker = environment.prefix / "prefect-ml-environment.json"
    assert json.loads(marker.read_text())["digest"] == environment.digest
    stray = environment.prefix / "stray"
    for broken in (marker, environment.python):
        stray.write_text("left by a build that was killed")
        broken.unlink()
        realise(SMALL, root=tmp_path)
        assert marker.exists()
        assert environment.python.exists()
        assert not stray.exists()


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        (replace(SMALL, requirements="no-such-package-of-anybody==1\n"), "no-such-package-of-anybody"),
        (replace(SMALL, requirements="tabulate==0.0.0.1\n"), "tabulate==0.0.0.1"),
        (replace(SMALL, requirements="tabulate==0.9.0 --hash=sha256:" + "0" * 64, hashes=True), "tabulate==0.9.0"),
        (replace(SMALL, requirements="tabulate>=0.9", hashes=True), "tabulate"),
        (replace(SMALL, requirements="not a requirement"), "not a requirement"),
        (replace(SMALL, python=">=3.99"), "3.99"),
    ],
)
def test_what_cannot_be_had_is_named_and_nothing_is_left(tmp_path: Path, declared: Declared, named: str) -> None:
    with pytest.raises(EnvironmentFailed) as caught:
        realise(declared, root=tmp_path)
    message = str(caught.value)
    assert named in message
    assert message.startswith("The environment of a test cannot be built: ")
    assert "\n" not in message
    assert left_in(tmp_path) == []


def test_a_python_that_is_not_here_is_named_with_those_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = platform.python_version()
    shims, versions = tmp_path / "shims", tmp_path / "pyenv" / "versions"
    shims.mkdir()
    shim = shims / "python3.99"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.99: command not found' >&2; exit 127\n")
    shim.chmod(0o755)
    for version, target in {"3.99.1": "/nowhere/python", "3.98.7": sys.executable, "2.7.18": sys.executable}.items():
        (versions / version / "bin").mkdir(parents=True)
        (versions / version / "bin" / "python").symlink_to(target)
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    with pytest.raises(EnvironmentFailed) as caught:
        realise(replace(SMALL, python="3.99.9"), root=tmp_path / "environments")
    said = str(caught.value)
    assert "declares Python 3.99.9, which is not installed" in said
    assert "shim" not in said
    named = said.partition("installed are ")[2].partition(":")[0].split(", ")
    assert {running, "3.98.7"} <= set(named)
    assert not {"3.99.1", "2.7.18"} & set(named), "one does not start, uv makes no environments with the other"


def test_a_lock_that_lacks_what_prefect_ml_needs_is_refused(tmp_path: Path) -> None:
    lock = "tabulate==0.9.0 --hash=sha256:024ca478df22e9340661486f85298cff5f6dcdba14f3813e8830015b9ed1948f\n"
    declared = Declared(requirements=lock, hashes=True, with_prefect_ml=True, origin="a test")
    with pytest.raises(EnvironmentFailed, match="prefect-ml"):
        realise(declared, root=tmp_path)
    assert left_in(tmp_path) == ["wheels"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentFailed, match="PREFECT_ML_HOME"):
        realise(SMALL, root=tmp_path / "file")


def test_a_project_declares_by_lock_before_requirements(tmp_path: Path) -> None:
    folder = write_project(tmp_path, dependencies=("prefect", "Prefect_ML >= 0.1"), requirements_txt="tabulate\n")
    declared = declared_of(folder)
    origin = str(folder / "requirements.txt")
    assert declared == Declared(requirements="tabulate\n", python=">=3.11", with_prefect_ml=True, origin=origin)
    lock = "tabulate==0.9.0 \\\n    --hash=sha256:00\n"
    write_project(folder, requirements_lock=lock, requirements_txt="tabulate\n")
    origin = str(folder / "requirements.lock")
    assert declared_of(folder) == Declared(requirements=lock, python=">=3.11", hashes=True, origin=origin)
    (folder / ".python-version").write_text("# the team's\n3.12\n")
    assert declared_of(folder).python == "3.12"


def test_a_project_that_declares_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"requirements\.lock"):
        declared_of(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 120\n")
    with pytest.raises(EnvironmentFailed, match="kind `system` \\(`--environment system`\\)"):
        declared_of(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project")
    with pytest.raises(ProjectError, match="mend"):
        declared_of(tmp_path)


def test_the_nearest_declaring_folder_is_the_project(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "p")
    (folder / "src").mkdir()
    (folder / "src" / "train.py").touch()
    assert project_folder(folder / "src" / "train.py") == folder
    assert project_folder(folder) == folder


def test_code_outside_its_declared_environment_is_refused(tmp_path: Path) -> None:
    folder = write_project(tmp_path, requirements_txt="tabulate\n")
    with pytest.raises(EnvironmentFailed) as caught:
        require_declared(folder / "train.py")
    message = str(caught.value)
    for part in (sys.prefix, declared_of(folder).digest, str(folder / "requirements.txt"), "prefect-ml run"):
        assert part in message


def test_a_checkout_gives_the_wheel_that_setuptools_would_build_and_a_new_one_when_edited(tmp_path: Path) -> None:
    copy = tmp_path / "prefect_ml"  # so named, it is imported in place of the checkout
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "dist", "tests", "*.egg-info"))
    first, again = wheel_of(copy, tmp_path), wheel_of(copy, tmp_path)
    assert first == again
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist")]
    subprocess.run([*command, str(copy)], check=True, capture_output=True)
    built = next((tmp_path / "dist").glob("*.whl"))
    assert packed(first) == packed(built)
    assert first.name == built.name
    (copy / "errors.py").write_text((copy / "errors.py").read_text() + "\nEDITED = True\n")
    assert packed(wheel_of(copy, tmp_path)).keys() == packed(first).keys()
    assert wheel_of(copy, tmp_path) != first


def wheel_of(checkout: Path, cache: Path) -> Path:
    code = "from pathlib import Path; from prefect_ml.environments import own_wheel;"
    code += f"print(own_wheel(cache=Path({str(cache)!r})))"
    environ = {**os.environ, "PYTHONPATH": str(checkout.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=cache, capture_output=True, text=True, check=True
    )
    return Path(done.stdout.strip())


def packed(wheel: Path) -> dict[str, int]:
    """Names and sizes of what a wheel installs, less the descriptions that each builder words in its own way."""
    own = ("METADATA", "RECORD", "WHEEL", "top_level.txt")
    with zipfile.ZipFile(wheel) as archive:
        return {item.filename: item.CRC for item in archive.infolist() if not item.filename.endswith(own)}


def test_an_environment_that_has_the_wheel_imports_prefect_ml_and_makes_the_same_wheel(tmp_path: Path) -> None:
    wheel = own_wheel(cache=tmp_path)
    environment = realise(replace(SMALL, requirements=""), root=tmp_path)
    command = [find_uv_bin(), "pip", "install", "--quiet", "--python", environment.python, "--no-deps", wheel]
    subprocess.run(command, check=True)
    (packages,) = environment.prefix.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))  # what prefect-ml needs
    code = "import prefect_ml, sys; from prefect_ml.environments import *; print(prefect_ml.__file__);"
    code += "print(own_wheel(cache=__import__('pathlib').Path(sys.prefix) / 'w'))"
    where, again = said_by(environment, code).splitlines()
    assert Path(where).is_relative_to(environment.prefix)
    assert Path(again).read_bytes() == wheel.read_bytes()
    assert Path(again).parent.name == wheel.parent.name


def test_building_leaves_the_checkout_alone(tmp_path: Path) -> None:
    before = sorted(path.name for path in ROOT.iterdir())
    own_wheel(cache=tmp_path)
    assert sorted(path.name for path in ROOT.iterdir()) == before
