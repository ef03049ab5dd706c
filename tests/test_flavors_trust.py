"""What flavors refuse, and what they say of files that would run code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skops.io
import yaml
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer

import prefect_ml
from prefect_ml.errors import ModelError, UnknownFlavor, UntrustedModel
from prefect_ml.serving.runtime.model import executes_on_load

ROWS = np.arange(12.0).reshape(6, 2)


@pytest.fixture
def folder(tmp_path: Path, home: Path) -> Path:
    """A model folder without a manifest, as another tool would have written it."""
    model = LinearRegression().fit(ROWS, ROWS[:, 0])
    path = prefect_ml.save_model(model, tmp_path / "model", requirements=["none"]).path
    (path / "MANIFEST.json").unlink()
    return path


def describe(folder: Path, **changed: object) -> None:
    content = yaml.safe_load((folder / "MLmodel").read_text())
    content["flavors"]["sklearn"].update(changed)
    (folder / "MLmodel").write_text(yaml.safe_dump(content))


def test_a_file_of_skops_is_not_trusted_on_its_own_word(folder: Path) -> None:
    assert executes_on_load(folder) == ()
    skops.io.dump(FunctionTransformer(os.system), folder / "model.skops")
    describe(folder, skops_trusted_types=["posix.system"])
    assert executes_on_load(folder) == ("the type posix.system in model.skops",)
    with pytest.raises(UntrustedModel, match="trust=True"):
        prefect_ml.load_model(folder)


def test_what_is_no_file_of_skops_is_refused(folder: Path) -> None:
    (folder / "model.skops").write_bytes(b"PK no")
    with pytest.raises(ValueError, match=r"'model\.skops' is no file of skops"):
        executes_on_load(folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"predict_fn": "__class__"}, "none that estimators answer with"),
        ({"predict_fn": "set_params"}, "none that estimators answer with"),
        ({"pickled_model": "../model/model.skops/../../x"}, "outside|missing"),
        ({"pickled_model": ["model.skops"]}, "where the name of a file should stand"),
    ],
)
def test_a_descriptor_cannot_name_other_methods_and_files(folder: Path, changed: dict[str, object], said: str) -> None:
    describe(folder, **changed)
    with pytest.raises(ModelError, match=said):
        prefect_ml.load_model(folder, trust=True)


def test_equal_models_make_equal_files(tmp_path: Path, home: Path) -> None:
    def saved(name: str) -> bytes:
        model = KNeighborsClassifier(2).fit(ROWS, [0, 0, 0, 1, 1, 1])
        return (prefect_ml.save_model(model, tmp_path / name, requirements=["none"]).path / "model.skops").read_bytes()

    assert saved("a") == saved("b")


def test_a_method_of_an_estimator_is_a_model_and_its_other_attributes_are_not(tmp_path: Path, home: Path) -> None:
    model = KNeighborsClassifier(2).fit(ROWS, [0, 0, 0, 1, 1, 1])
    saved = prefect_ml.save_model(model.predict_proba, tmp_path / "a", requirements=["none"])
    loaded = prefect_ml.load_model(saved.path, trust=True)
    assert saved.flavor == "sklearn"
    assert loaded.predict(ROWS).tolist() == model.predict_proba(ROWS).tolist()
    assert isinstance(loaded.native(), KNeighborsClassifier)
    with pytest.raises(UnknownFlavor, match="cannot save"):
        prefect_ml.save_model(model.get_params, tmp_path / "b", flavor="sklearn")


def test_choosing_a_flavor_imports_no_library() -> None:
    program = (
        "import sys; from prefect_ml.serving.models import flavor_for; print(flavor_for(abs).NAME);"
        "assert not {'sklearn', 'xgboost', 'torch', 'pandas', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "python_function"
