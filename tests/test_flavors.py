"""What every flavor has to pass: one suite, run over a table of models.

To add a case, write a function that makes a model, with `@case(flavor, libraries...)` above it, which says

- the name of the flavor that has to save the model, and the modules without which the case is skipped;
- `heavy=True` where these are not in the environment of the light tests (`make test-heavy GROUP=flavors`);
- `executes=True` where loading the model runs code of its folder;
- `same_bytes=False` where its library writes other bytes each time, with the reason beside it.

The function is given a folder for files of its own, and returns `Made`: the model, rows that it takes, what the library
itself answers to them, and what else `save_model` is to be told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uv import find_uv_bin

import prefect_ml
from prefect_ml.serving import runtime
from prefect_ml.serving.runtime.model import executes_on_load

pytestmark = pytest.mark.filterwarnings("ignore")

TABLE = np.random.default_rng(0).normal(size=(60, 4))
KINDS = (TABLE[:, 0] + TABLE[:, 1] > 0).astype("int64")
SUMS = TABLE @ np.array([1.0, 2.0, 0.5, 0.0])


@dataclass(frozen=True)
class Made:
    """A model, rows that it takes, what its library answers to them, and other arguments of `save_model`."""

    model: Any
    rows: Any
    answers: Any
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    flavor: str
    needs: tuple[str, ...]
    make: Callable[[Path], Made]
    executes: bool
    same_bytes: bool


CASES: list[Any] = []


def case(
    flavor: str, *needs: str, executes: bool = False, same_bytes: bool = True, heavy: bool = False
) -> Callable[[Callable[[Path], Made]], Callable[[Path], Made]]:
    def add(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
        row = Case(make.__name__, flavor, needs, make, executes, same_bytes)
        marks = [pytest.mark.heavy] if heavy else []
        CASES.append(pytest.param(row, id=row.name, marks=marks))
        return make

    return add


# The table


@case("sklearn", "sklearn", "pandas")
def sklearn_pipeline_of_a_table(_: Path) -> Made:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = pd.DataFrame({"size": TABLE[:, 0], "age": TABLE[:, 1], "kind": np.where(TABLE[:, 2] > 0, "a", "b")})
    prepared = ColumnTransformer([("kinds", OneHotEncoder(), ["kind"]), ("sizes", StandardScaler(), ["size", "age"])])
    model = make_pipeline(prepared, RandomForestClassifier(5, random_state=0)).fit(rows, KINDS)
    return Made(model, rows, model.predict(rows))


@case("python_function", "sklearn", executes=True)
def function_that_closes_over_a_model(_: Path) -> Made:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(TABLE, SUMS)

    def rounded(rows: np.ndarray) -> np.ndarray:
        return model.predict(rows).round(2)

    return Made(rounded, TABLE, model.predict(TABLE).round(2))


# The suite


@dataclass(frozen=True)
class Kept:
    """A model of the table that was saved."""

    case: Case
    made: Made
    folder: Path


@pytest.fixture(scope="module", params=CASES)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    chosen: Case = request.param
    for module in chosen.needs:
        if find_spec(module) is None:
            pytest.skip(f"{module} comes with `make test-heavy GROUP=flavors`")
    folder = tmp_path_factory.mktemp(chosen.name)
    made = chosen.make(folder)
    saved = prefect_ml.save_model(made.model, folder / "model", example=made.rows, **made.options)
    assert saved.flavor == chosen.flavor
    return Kept(chosen, made, saved.path)


@pytest.fixture(scope="module")
def only(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Give the interpreter of an environment that holds a model's requirements, what serves it, and nothing else."""
    root = tmp_path_factory.mktemp("only")

    def interpreter(requirements: Path) -> Path:
        folder = root / sha256(requirements.read_bytes()).hexdigest()[:12]
        python = folder / "bin" / "python"
        if not folder.exists():
            # Wheels that a group takes from a folder are found there again.
            links = [word for link in os.environ.get("PIP_FIND_LINKS", "").split() for word in ("--find-links", link)]
            install = ["pip", "install", "--quiet", "--python", python, *links]
            own = ["numpy", "pyyaml", "--constraints", requirements]
            uv(["venv", "--quiet", "--python", sys.executable, folder])
            uv([*install, "--no-deps", "--requirements", requirements])
            uv([*install, *own])
        return python

    return interpreter


def uv(words: list[Any]) -> None:
    done = subprocess.run([find_uv_bin(), *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# What a server does, with the runtime as it lies in a Bento.
SCORE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from prefect_ml_scoring.answers import encode
from prefect_ml_scoring.enforce import as_model_input
from prefect_ml_scoring.model import open_model
from prefect_ml_scoring.protocol import read_request
opened = open_model(Path(sys.argv[2]))
data = as_model_input(read_request(Path(sys.argv[3]).read_bytes(), "application/json"), opened.descriptor.signature)
Path(sys.argv[4]).write_bytes(encode(opened.predict(data)))
assert not [name for name in sys.modules if name.partition(".")[0] == "prefect_ml"]
"""


def test_it_predicts_the_same_where_only_its_requirements_are(
    kept: Kept, only: Callable[[Path], Path], tmp_path: Path
) -> None:
    from prefect_ml.serving.models.examples import example_request

    (tmp_path / "prefect_ml_scoring").symlink_to(Path(runtime.__file__).parent)
    request, answer = tmp_path / "request.json", tmp_path / "answer.json"
    request.write_bytes(example_request(kept.folder) or b"")
    python = only(kept.folder / "requirements.txt")
    command = [python, "-P", "-c", SCORE, tmp_path, kept.folder, request, answer]
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run([*map(str, command)], cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    hold_the_same(json.loads(answer.read_text())["predictions"], kept.made.answers)


def test_it_comes_back_as_its_librarys_own_object_with_signature_and_example(kept: Kept, home: Path) -> None:
    loaded = prefect_ml.load_model(kept.folder, trust=True)
    native, model = type(loaded.native()), type(kept.made.model)
    assert (native.__module__, native.__qualname__) == (model.__module__, model.__qualname__)
    hold_the_same(loaded.predict(kept.made.rows), kept.made.answers)
    assert loaded.signature is not None
    assert loaded.signature.inputs
    assert loaded.signature.outputs
    assert (kept.folder / "input_example.json").is_file()


def test_what_would_execute_on_load_is_said(kept: Kept) -> None:
    assert bool(executes_on_load(kept.folder)) == kept.case.executes


def test_the_same_model_makes_the_same_bytes(kept: Kept, tmp_path: Path) -> None:
    if not kept.case.same_bytes:
        pytest.skip("its library writes other bytes each time")
    options = {**kept.made.options, "requirements": ["none"]}
    again = prefect_ml.save_model(kept.made.model, tmp_path / "again", example=kept.made.rows, **options).path
    assert model_files(again) == model_files(kept.folder)


def model_files(folder: Path) -> dict[str, str]:
    """Map the files that a flavor has written to the digests of their bytes."""
    about = {"MLmodel", "MANIFEST.json", "requirements.txt", "conda.yaml", "python_env.yaml"}
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: sha256(path.read_bytes()).hexdigest() for name, path in files.items() if name not in about}


def hold_the_same(found: Any, expected: Any) -> None:
    """Hold that two answers are the same numbers; what came over JSON are the first rows, as lists."""
    if isinstance(expected, Mapping):
        assert set(found) == set(expected)
        for name in expected:
            hold_the_same(found[name], expected[name])
        return
    if hasattr(found, "toarray"):
        found, expected = found.toarray(), expected.toarray()
    if isinstance(found, list) and found and isinstance(found[0], Mapping):
        found = {name: [row[name] for row in found] for name in found[0]}
        hold_the_same(found, {name: np.asarray(expected[name]) for name in found})
        return
    found, expected = np.asarray(found), np.asarray(expected)
    assert len(found)
    expected = expected[: len(found)]
    if expected.dtype.kind in "iuf":
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-6, atol=1e-9)
    else:
        assert found.tolist() == expected.tolist()
