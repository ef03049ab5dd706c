"""Environments that a conda tool builds: from a channel in a folder, and run by the command line.

The tool is the one on the PATH, or else conda itself from PyPI, whose last release there needs Python 3.7.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from prefect_ml import get_run, metric_history, run_project, search_runs
from prefect_ml.environments import declared_of, declared_of_lock, realise
from prefect_ml.environments.declared import CONDA_TOOLS
from prefect_ml.errors import EnvironmentFailed
from prefect_ml.store.environments import run_environment

pytestmark = pytest.mark.heavy

_CONDA = ("conda==4.3.16", "pycosat==0.6.6", "cytoolz==0.12.3", "requests==2.31.0", "ruamel.yaml<0.17")
_SCRIPT = "#!{python}\nimport sys\nfrom {module} import main\nsys.exit(main())\n"
_SERIES = ".".join(platform.python_version_tuple()[:2])

TRAIN = """
import os, sys
import greeting, tabulate
import prefect_ml as ml
with ml.start_run():
    ml.log_metric("answer", greeting.ANSWER)
    print("in", ml.current_run().id, sys.prefix == os.environ["CONDA_PREFIX"], os.environ["GREETING"], flush=True)
"""


@pytest.fixture(scope="module")
def conda_tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A conda tool on the PATH."""
    with pytest.MonkeyPatch.context() as patch:
        if not any(map(shutil.which, CONDA_TOOLS)):
            home = _conda(tmp_path_factory.mktemp("tool") / "conda")
            patch.setenv("PATH", f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}")
        # No configuration of this machine's user, no channel of its own, and packages in a place of its own.
        root = tmp_path_factory.mktemp("root")
        patch.setenv("CONDARC", str(root / "condarc"))
        patch.setenv("MAMBA_ROOT_PREFIX", str(root))
        patch.setenv("CONDA_PKGS_DIRS", str(root / "pkgs"))
        yield


def _conda(home: Path) -> Path:
    """Install conda from PyPI, with the two scripts that its installer writes and its package on PyPI does not."""
    python = next((found for name in _pythons() if (found := shutil.which(name)) and _is_3_7(found)), None)
    if python is None:
        pytest.skip("there is no conda tool, and no Python 3.7 to run the conda of PyPI on")
    subprocess.run([python, "-m", "venv", home], check=True)
    install = [home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *_CONDA]
    subprocess.run(install, check=True)
    for name, module in (("conda", "conda.cli"), ("conda-env", "conda_env.cli.main")):
        script = home / "bin" / name
        script.write_text(_SCRIPT.format(python=home / "bin" / "python", module=module))
        script.chmod(0o755)
    return home


def _pythons() -> list[str]:
    installed = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv").glob("versions/3.7.*/bin/python")
    return [*map(str, installed), "python3.7"]


def _is_3_7(python: str) -> bool:
    said = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
    return said.stdout.startswith("Python 3.7.")


class Channel:
    """A channel of conda packages in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listed: dict[str, Any] = {}

    def add(self, name: str, version: str, files: Mapping[str, bytes | Path], *, depends: tuple[str, ...] = ()) -> None:
        """Add a package for this platform."""
        facts = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": list(depends)}
        facts["subdir"] = _subdir()
        info = {
            "info/index.json": json.dumps(facts),
            "info/files": "".join(f"{path}\n" for path in files),
            "info/paths.json": json.dumps({"paths_version": 1, "paths": [_path(*file) for file in files.items()]}),
        }
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:bz2") as tar:
            for path, content in {**{key: text.encode() for key, text in info.items()}, **files}.items():
                _pack(tar, path, content)
        content = packed.getvalue()
        hashes = {"md5": hashlib.md5(content).hexdigest(), "sha256": hashlib.sha256(content).hexdigest()}
        file = f"{name}-{version}-0.tar.bz2"
        (self.folder / _subdir()).mkdir(exist_ok=True)
        (self.folder / _subdir() / file).write_bytes(content)
        self._listed[file] = {**facts, **hashes, "size": len(content)}

    def index(self) -> None:
        """Say what there is."""
        for subdir, listed in ((_subdir(), self._listed), ("noarch", {})):
            (self.folder / subdir).mkdir(exist_ok=True)
            text = json.dumps({"info": {"subdir": subdir}, "packages": listed}).encode()
            (self.folder / subdir / "repodata.json").write_bytes(text)
            (self.folder / subdir / "repodata.json.bz2").write_bytes(bz2.compress(text))


def _subdir() -> str:
    system = {"Linux": "linux", "Darwin": "osx"}[platform.system()]
    machine = {"x86_64": "64", "AMD64": "64", "arm64": "arm64", "aarch64": "aarch64"}[platform.machine()]
    return f"{system}-{machine}"


def _path(path: str, content: bytes | Path) -> dict[str, Any]:
    if isinstance(content, Path):
        return {"_path": path, "path_type": "softlink"}
    digest = hashlib.sha256(content).hexdigest()
    return {"_path": path, "path_type": "hardlink", "sha256": digest, "size_in_bytes": len(content)}


def _pack(tar: tarfile.TarFile, path: str, content: bytes | Path) -> None:
    """Add a file, or, for a path, a link to it."""
    entry = tarfile.TarInfo(path)
    if isinstance(content, Path):
        entry.type, entry.linkname = tarfile.SYMTYPE, str(content)
        tar.addfile(entry)
        return
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a channel with Python, which is the running one, pip, and a package with an activation script."""
    made = Channel(tmp_path_factory.mktemp("channel"))
    running = Path(sys.base_prefix, "bin", f"python{_SERIES}")
    settings = f"home = {running.parent}\nversion = {platform.python_version()}\n".encode()
    packages = f"lib/python{_SERIES}/site-packages"
    names = ("python", "python3", f"python{_SERIES}")
    made.add(
        "python", platform.python_version(), {"pyvenv.cfg": settings, **{f"bin/{name}": running for name in names}}
    )
    ((wheel, version),) = _pip()
    with zipfile.ZipFile(wheel) as files:
        pip = {f"{packages}/{name}": files.read(name) for name in files.namelist() if not name.endswith("/")}
    pip["bin/pip"] = b"import sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
    made.add("pip", version, pip, depends=("python",))
    made.add("greeting", "1.0", {f"{packages}/greeting.py": b"ANSWER = 41\n"}, depends=("python",))
    made.add("greeting", "2.0", {f"{packages}/greeting.py": b"ANSWER = 42\n"}, depends=("python",))
    made.add("activated", "1", {"etc/conda/activate.d/greeting.sh": b"export GREETING='good morning'\n"})
    made.index()
    return made.folder.as_uri()


def _pip() -> list[tuple[Path, str]]:
    import ensurepip

    folder = Path(ensurepip.__file__).with_name("_bundled")
    return [(file, file.name.split("-")[1]) for file in folder.glob("pip-*.whl")]


@pytest.fixture
def project(channel: str, conda_tool: None, tmp_path: Path) -> Path:
    """A project with a conda.yaml that names the channel."""
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "conda.yaml").write_text(f"""
channels: ["{channel}", nodefaults]
dependencies:
- python={_SERIES}
- pip
- greeting>1
- activated
- pip: [tabulate==0.9.0, prefect-ml]
""")
    (folder / "MLproject").write_text(
        "name: p\nconda_env: conda.yaml\nentry_points: {main: {command: python train.py}}\n"
    )
    (folder / "train.py").write_text(TRAIN)
    return folder


def test_a_project_runs_in_what_conda_builds(home: Path, project: Path) -> None:
    command = [sys.executable, "-m", "prefect_ml.cli", "run", str(project), "--environment", "conda"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = search_runs("")
    run = get_run(found.id)
    assert f"in {run.id} True good morning" in done.stdout + done.stderr
    assert list(metric_history(run.id, "answer").values) == [42]
    assert run.source.environment.startswith("conda:")
    software = run_environment(run.id)
    assert software is not None
    assert software.python == platform.python_version()
    assert (software.packages["greeting"], software.packages["tabulate"]) == ("2.0", "0.9.0")


def test_what_conda_has_built_can_be_built_again(home: Path, project: Path, tmp_path: Path) -> None:
    text = (project / "conda.yaml").read_text().replace(", prefect-ml", "").replace("greeting>1", "greeting<2")
    (project / "conda.yaml").write_text(text)
    (project / "train.py").write_text("import greeting\nassert greeting.ANSWER == 41\n")
    ran = run_project(project, report=lambda _: None)
    environment = realise(declared_of(project), root=home / "environments")
    assert ran.environment == environment.digest
    facts = environment.facts()
    again = realise(declared_of_lock(facts.lock, origin="a run"), root=tmp_path / "root")
    assert again.kind == "conda"
    assert again.facts().packages == facts.packages


def test_what_no_channel_has_is_said_in_one_sentence(home: Path, project: Path) -> None:
    (project / "conda.yaml").write_text(
        (project / "conda.yaml").read_text().replace("greeting>1", "no-such-package-of-anybody")
    )
    with pytest.raises(EnvironmentFailed, match="no-such-package-of-anybody"):
        run_project(project, environment="conda", report=lambda _: None)
    assert not list((home / "environments").glob("[0-9a-f]*/"))
