"""What is installed from a wheel, in an environment that has nothing else."""

from __future__ import annotations

import os
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

from prefect_ml.environments import own_wheel

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, **options: object) -> str:
    ended = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a source distribution of the files that the repository holds."""
    folder = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source") / "checkout"
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(find_uv_bin(), "build", "--quiet", "--out-dir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    run(find_uv_bin(), "venv", "--quiet", folder)
    python = folder / "bin" / "python"
    constraints = ROOT / "requirements.lock"
    run(find_uv_bin(), "pip", "install", "--quiet", "--python", python, "--constraints", constraints, wheel)
    return python


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"prefect_ml", "prefect_ml-0.2.0.dist-info"}
    for needed in ("py.typed", "prefect.yaml", "store/filters/grammar.lark", "store/migrations/versions/0001_first.py"):
        assert f"prefect_ml/{needed}" in names
    assert not [name for name in names if "/tests/" in name or "/examples/" in name or "conftest" in name]


def test_the_installed_wheel_imports_tracks_and_gives_the_command(clean: Path, tmp_path: Path) -> None:
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PREFECT", "PYTHON"))},
        "PREFECT_ML_HOME": str(tmp_path / "home"),
    }
    code = (
        "import pkgutil, importlib, prefect_ml\n"
        "for m in pkgutil.walk_packages(prefect_ml.__path__, 'prefect_ml.'):\n"
        "    if m.name.endswith(('.migrations.env', '__main__')): continue\n"
        "    try: importlib.import_module(m.name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        assert error.name == 'bentoml' and '.serving.runtime.' in m.name, (m.name, error)\n"
        "with prefect_ml.start_run(name='first') as run:\n"
        "    prefect_ml.log_metric('m', 1)\n"
        "print(prefect_ml.get_run(run.id).metrics)\n"
    )
    assert run(clean, "-c", code, env=environ, cwd=tmp_path).strip().endswith("{'m': 1.0}")
    command = clean.parent / "prefect-ml"
    assert "runs" in run(command, "--help", env=environ, cwd=tmp_path)
    assert "first" in run(command, "runs", "list", env=environ, cwd=tmp_path)


def test_the_wheel_that_builders_install_is_that_wheel(wheel: Path, home: Path) -> None:
    def members(path: Path) -> set[str]:
        return {name for name in zipfile.ZipFile(path).namelist() if not name.endswith(("RECORD", "/"))}

    ours = {name for name in members(own_wheel()) if name.startswith("prefect_ml/")}
    assert ours == {name for name in members(wheel) if name.startswith("prefect_ml/")}


def test_bentoml_is_declared_once_and_the_same_everywhere() -> None:
    from prefect_ml.serving.bentos import BENTOML

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["serving"] == [BENTOML]


def test_locks_record_hashes_and_no_addresses() -> None:
    for lock in (ROOT / "requirements.lock", ROOT / "examples" / "digits" / "requirements.lock"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "prefect-ml" not in [line.split("==")[0] for line in text.splitlines()]
