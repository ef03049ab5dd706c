"""What projects declare: each file read as it is meant, the most exact one used, and nothing passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_ml.environments import Declared, declared_of
from prefect_ml.errors import EnvironmentFailed, ProjectError

PYPROJECT = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["tabulate"]\n'


@pytest.fixture(autouse=True)
def no_conda_tool(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has: here, conda files go to uv."""
    empty = tmp_path_factory.mktemp("bin")
    monkeypatch.setenv("PATH", str(empty))


def project(folder: Path, **files: str) -> Path:
    """Write a project; `conda_yaml="..."` becomes `conda.yaml`, `python_env_yaml` becomes `python_env.yaml`."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / ".".join(name.rsplit("_", 1))).write_text(text)
    return folder


def conda(tmp_path: Path, *specs: str, **more: str) -> Declared:
    listed = "".join(f"- {spec!r}\n" for spec in specs)
    return declared_of(project(tmp_path / "p", conda_yaml=f"dependencies:\n{listed}", **more))


def test_the_most_exact_file_counts_and_the_others_are_named(tmp_path: Path) -> None:
    files = {
        "requirements_lock": "tabulate==0.9.0\n",
        "uv_lock": "version = 1\n",
        "python_env_yaml": "dependencies: [tabulate]\n",
        "conda_yaml": "dependencies: [tabulate]\n",
        "requirements_txt": "tabulate\n",
        "pyproject_toml": PYPROJECT,
    }
    folder = project(tmp_path / "p", **files)
    for name in files:
        file = folder / ".".join(name.rsplit("_", 1))
        declared = declared_of(folder)
        assert declared.origin == str(file)
        beside = [note for note in declared.notes if "counts for nothing" in note]
        left = [
            other for other in ("conda.yaml", "requirements.txt") if (folder / other).exists() and other != file.name
        ]
        assert bool(beside) == bool(left)
        assert all(other in beside[0] for other in left)
        file.unlink()


def test_a_python_env_is_read_with_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "p" / "sub").mkdir(parents=True)
    folder = project(
        tmp_path / "p",
        python_env_yaml="python: 3.10\nbuild_dependencies:\n- setuptools==70\ndependencies: [-r sub/more.txt, six]\n",
        requirements_txt="--requirement=sub/more.txt # why\nsix\n",
    )
    (folder / "sub" / "more.txt").write_text("tabulate  # a table\n-c limits.txt")
    (folder / "sub" / "limits.txt").write_text("tabulate<1\n")
    declared = declared_of(folder)
    assert declared.python == "3.10", "the number 3.10 is not 3.1"
    assert declared.requirements == "tabulate  # a table\nsix\n"
    assert declared.first == "setuptools==70\n"
    assert declared.constraints == "tabulate<1\n"
    (folder / "python_env.yaml").unlink()
    assert declared_of(folder).requirements == declared.requirements
    before = declared_of(folder).digest
    (folder / "sub" / "limits.txt").write_text("tabulate<2\n")
    assert declared_of(folder).digest != before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("python: 3.11\nchannels: []\n", "no field 'channels'"),
        ("- a\n", "must be a mapping"),
        ("python: [\n", "is not YAML"),
        ("dependencies: six\n", "must be a list"),
        ("dependencies:\n- six: 1\n", "which is no requirement"),
        ("python: {a: 1}\n", "must be a version"),
    ],
)
def test_a_python_env_that_says_something_else_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ProjectError, match=said) as caught:
        declared_of(project(tmp_path / "p", python_env_yaml=text))
    assert "python_env.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["-e .", "--editable ./x", ".", ".[all]", "./x", "../x", "/x/y", "x @ file:///x", "file:///x",
     "x-1-py3-none-any.whl", "-f wheels", "--find-links=wheels"],
)  # fmt: skip
def test_what_lies_on_this_machine_only_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(EnvironmentFailed) as caught:
        declared_of(project(tmp_path / "p", requirements_txt=f"six\n{line}\n"))
    assert repr(line) in str(caught.value)
    assert "requirements.txt" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "x @ git+https://host/x.git@v1",
        "https://host/x-1.tar.gz",
        "--find-links https://host/x",
        "x[a]>=1; sys_platform == 'linux'",
    ],
)
def test_what_lies_on_a_server_is_kept_as_it_is(tmp_path: Path, line: str) -> None:
    assert declared_of(project(tmp_path / "p", requirements_txt=line)).requirements == line


def test_files_that_include_each_other_or_nothing_are_refused(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", requirements_txt="-r a.txt\n", a_txt="-r requirements.txt\n")
    with pytest.raises(EnvironmentFailed, match=r"requirements\.txt includes itself"):
        declared_of(folder)
    (folder / "a.txt").unlink()
    with pytest.raises(EnvironmentFailed, match=r"a\.txt, which cannot be read"):
        declared_of(folder)


def test_prefect_ml_among_the_requirements_is_the_running_one(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", requirements_txt="six\nprefect_ml>=0.1 # ours\n")
    declared = declared_of(folder)
    assert declared.with_prefect_ml
    assert declared.requirements == "six\n"
    for other in ("prefect-ml==0.0.1", "prefect-ml[serving]", "prefect-ml @ git+https://host/x"):
        with pytest.raises(EnvironmentFailed, match="ask for `prefect-ml` alone"):
            declared_of(project(folder, requirements_txt=other))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[project]\nname = "p"\ndynamic = ["dependencies"]\n', "dynamic"),
        ('[tool.poetry.dependencies]\npython = "^3.8"\n', "Poetry"),
        (PYPROJECT + '[tool.uv.sources]\ntabulate = { path = "../x" }\n', "where tabulate is"),
    ],
)
def test_a_pyproject_that_does_not_say_all_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(EnvironmentFailed, match=said):
        declared_of(project(tmp_path / "p", pyproject_toml=text))


def test_what_a_descriptor_names_goes_before_all_files(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", requirements_lock="tabulate==0.9.0\n", my_yaml="dependencies: [six]\n")
    (folder / "mlproject").write_text("name: p\npython_env: my.yaml  # ours\n")
    assert declared_of(folder).origin == str(folder / "my.yaml")
    (folder / "mlproject").write_text("name: p\nconda_env: my.yaml\n")
    assert declared_of(folder).notes[0].startswith(f"{folder / 'my.yaml'} asks for Python packages only")
    with pytest.raises(ProjectError, match="no environments of kind 'spark'"):
        declared_of(folder, kind="spark")


@pytest.mark.parametrize(
    ("spec", "requirement"),
    [
        ("numpy", "numpy"),
        ("numpy=1.21", "numpy==1.21.*"),
        ("numpy==1.21.0", "numpy==1.21.0"),
        ("numpy=1.21.2=py38hdbf815f_0", "numpy==1.21.2"),
        ("numpy 1.21.2", "numpy==1.21.2"),
        ("numpy 1.21.2 py38_0", "numpy==1.21.2"),
        ("numpy 1.21.*", "numpy==1.21.*"),
        ("numpy >=1.20, <1.22.*", "numpy>=1.20,<1.22"),
        ("numpy=*", "numpy"),
        ("conda-forge::numpy!=1.20", "numpy!=1.20"),
        ("pytorch=1.13", "torch==1.13.*"),
        ("py-opencv", "opencv-python"),
        ("pytables>=3", "tables>=3"),
        ("librosa", "librosa"),
        ("dask=2023.5", "dask[complete]==2023.5.*"),
        ("Scikit-Learn~=1.0", "scikit-learn~=1.0"),
    ],
)
def test_conda_specs_are_spelt_as_pypi_spells_them(tmp_path: Path, spec: str, requirement: str) -> None:
    assert conda(tmp_path, spec).requirements == f"{requirement}\n"


@pytest.mark.parametrize(
    "spec",
    ["cudatoolkit=11", "r-base", "libgcc-ng=9", "_libgcc_mutex=0.1", "openjdk", "git", "pytorch=1.9=py3.8_cuda11_0",
     "numpy=1.2*", "numpy=1.2|=1.3", "numpy[version='>=1']", "bioconda::pysam", "tensorflow-gpu", "ffmpeg", "graphviz"],
)  # fmt: skip
def test_what_only_conda_has_is_named_and_refused(tmp_path: Path, spec: str) -> None:
    with pytest.raises(EnvironmentFailed, match="install micromamba") as caught:
        conda(tmp_path, "python=3.11", spec, "six")
    assert f"needs {spec}, which PyPI does not have" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "python"),
    [
        ("python=3.8", "3.8"),
        ("python==3.8.5", "3.8.5"),
        ("python=3.7.3=h0371630_0", "3.7.3"),
        ("python>=3.6,<3.9", ">=3.6,<3.9"),
        ("python 3.10.*", "3.10"),
        ("python", None),
    ],
)
def test_the_python_of_a_conda_file(tmp_path: Path, spec: str, python: str | None) -> None:
    declared = conda(tmp_path, spec, "pip")
    assert declared.python == python
    assert declared.requirements == "pip\n"


def test_a_whole_conda_file_becomes_one_of_pypi_and_says_so(tmp_path: Path) -> None:
    folder = project(
        tmp_path / "p",
        conda_yaml="""
name: tutorial
channels: [defaults, https://conda.anaconda.org/pytorch]
dependencies:
- python=3.11
- pytorch=2.1=py311_0
- pip:
  - -r more.txt
  - prefect-ml
prefix: /opt/somewhere
""",
        more_txt="six\n",
    )
    declared = declared_of(folder)
    assert declared.requirements == "torch==2.1\nsix\n"
    assert declared.with_prefect_ml
    assert declared.notes == (
        f"{folder / 'conda.yaml'} asks for Python packages only, so uv builds it with those of PyPI;"
        " pytorch as torch; without conda's builds of pytorch.",
    )


def test_a_conda_file_that_no_one_here_can_build_is_refused(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", conda_yaml="channels: [bioconda]\nvariables: {A: b}\ndependencies: [six]\n")
    with pytest.raises(EnvironmentFailed, match="the channel bioconda, variables that conda sets"):
        declared_of(folder)
    with pytest.raises(EnvironmentFailed, match="so uv cannot build it"):
        declared_of(folder, kind="uv")
    with pytest.raises(EnvironmentFailed, match="micromamba, mamba, conda or pixi to be built"):
        declared_of(folder, kind="conda")
    (folder / "conda.yaml").unlink()
    with pytest.raises(EnvironmentFailed, match=r"no conda\.yaml"):
        declared_of(project(folder, requirements_txt="six\n"), kind="conda")
    with pytest.raises(ProjectError, match="neither a package nor a list for pip"):
        declared_of(project(folder, conda_yaml="dependencies:\n- npm: [x]\n"))


def test_the_environment_at_hand_must_have_the_declared_python(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", conda_yaml="dependencies: [python=3.8, r-base]\n")
    assert declared_of(folder, kind="system").python == "3.8", "what is in it does not matter, its Python does"
    assert declared_of(project(tmp_path / "q"), kind="system").python is None
    one, other = (declared_of(folder, kind="system"), declared_of(project(tmp_path / "q"), kind="system"))
    assert one.digest == other.digest, "it is the interpreter that counts"


def test_a_lock_of_uv_counts_with_what_its_pyproject_says_about_packages(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", pyproject_toml=PYPROJECT, uv_lock="version = 1\n")
    first = declared_of(folder)
    assert first.python == ">=3.11"
    for text in (PYPROJECT + "[tool.ruff]\nline-length = 100\n", PYPROJECT.replace("tabulate", "six")):
        project(folder, pyproject_toml=text)
        assert (declared_of(folder).digest == first.digest) == ("ruff" in text)
    project(folder, pyproject_toml=PYPROJECT, uv_lock="version = 2\n")
    assert declared_of(folder).digest != first.digest
