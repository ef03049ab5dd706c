"""Saving and loading models, by the public door."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import prefect_ml
from prefect_ml.errors import ArtifactError, IntegrityError, ModelError, UnknownFlavor, UntrustedModel
from prefect_ml.store import Store

ROWS, KINDS = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def estimator() -> LogisticRegression:
    return LogisticRegression(max_iter=500).fit(ROWS, KINDS)


@pytest.fixture(scope="module")
def original(estimator: LogisticRegression, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prefect_ml.save_model(estimator, tmp_path_factory.mktemp("models") / "iris", example=ROWS[:3]).path


@pytest.fixture
def saved(original: Path, tmp_path: Path) -> Path:
    """A saved model, which the test may change."""
    return Path(shutil.copytree(original, tmp_path / "iris"))


def test_a_saved_estimator_predicts_the_same_in_a_fresh_process(saved: Path, estimator: LogisticRegression, home: Path):
    program = (
        "import sys, json, numpy, prefect_ml;"
        "model = prefect_ml.load_model(sys.argv[1], trust=True);"
        "print(json.dumps(model.predict(numpy.array(json.loads(sys.argv[2]))).tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(saved), json.dumps(ROWS[::10].tolist())],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == estimator.predict(ROWS[::10]).tolist()


def test_the_folder_is_in_the_public_format(saved: Path):
    content = yaml.safe_load((saved / "MLmodel").read_text())
    assert set(content["flavors"]) == {"python_function", "sklearn"}
    assert content["flavors"]["python_function"]["loader_module"] == "mlflow.sklearn"
    assert json.loads(content["signature"]["inputs"]) == [
        {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}
    ]
    assert json.loads((saved / "input_example.json").read_text()) == ROWS[:3].tolist()
    manifest = json.loads((saved / "MANIFEST.json").read_text())
    listed = {path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file()} - {"MANIFEST.json"}
    assert set(manifest["files"]) == listed


def test_requirements_are_what_the_model_imports_and_never_prefect_ml(saved: Path):
    import sklearn

    lines = (saved / "requirements.txt").read_text().splitlines()
    assert f"scikit-learn=={sklearn.__version__}" in lines
    assert f"numpy=={np.__version__}" in lines
    assert all("==" in line for line in lines)
    names = {line.split("==")[0].lower() for line in lines}
    assert not names & {"prefect-ml", "prefect", "pytest", "sqlalchemy", "rich"}


def test_a_function_travels_with_what_it_closes_over(tmp_path: Path, home: Path):
    factor = 3

    def triple(rows: np.ndarray) -> np.ndarray:
        return rows * factor

    saved = prefect_ml.save_model(triple, tmp_path / "triple", example=np.array([1.0, 2.0]))
    loaded = prefect_ml.load_model(saved.path, trust=True)
    assert saved.flavor == "python_function"
    assert loaded.predict(np.array([2.0])).tolist() == [6.0]
    assert loaded.native()(1) == 3


def test_code_travels_with_the_model_and_leaves_no_bytecode_in_its_folder(tmp_path: Path, home: Path):
    source = tmp_path / "shapes_of_model.py"
    source.write_text("def area(rows):\n    return rows[:, 0] * rows[:, 1]\n")

    def predict(rows: np.ndarray) -> np.ndarray:
        import shapes_of_model

        return shapes_of_model.area(rows)

    with pytest.raises(ModelError, match="shapes_of_model"):
        prefect_ml.save_model(predict, tmp_path / "without", requirements=None, example=np.ones((1, 2)))
    assert not (tmp_path / "without").exists()
    signature = prefect_ml.infer_signature(np.ones((1, 2)))
    saved = prefect_ml.save_model(predict, tmp_path / "with", signature=signature, code=[source])
    assert prefect_ml.load_model(saved.path, trust=True).predict(np.array([[2.0, 3.0]])).tolist() == [6.0]
    assert not list(saved.path.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: (folder / "model.skops").write_bytes(b"other"), "model.skops"),
        (lambda folder: (folder / "requirements.txt").unlink(), "requirements.txt"),
        (lambda folder: (folder / "sitecustomize.py").write_text("x = 1"), "sitecustomize.py"),
        (lambda folder: (folder / "MANIFEST.json").write_text("{}"), "MANIFEST.json"),
    ],
)
def test_a_changed_folder_is_refused_by_the_name_of_the_file(saved: Path, home: Path, damage: object, named: str):
    damage(saved)  # type: ignore[operator]
    with pytest.raises(IntegrityError, match=named):
        prefect_ml.load_model(saved, trust=True)


def test_what_runs_code_and_the_store_does_not_vouch_for_is_loaded_only_on_request(tmp_path: Path, home: Path):
    folder = prefect_ml.save_model(lambda rows: rows, tmp_path / "same", requirements=[]).path
    for _ in range(2):
        with pytest.raises(UntrustedModel, match=r"would run the pickle python_model\.pkl, .* trust=True"):
            prefect_ml.load_model(folder)
        assert prefect_ml.load_model(folder, trust=True).predict([1]) == [1]
        (folder / "MANIFEST.json").unlink(missing_ok=True)  # as other tools write folders


def test_what_runs_no_code_needs_no_trust(saved: Path, home: Path):
    assert prefect_ml.load_model(saved).predict(ROWS[:1]).tolist() == [0]
    (saved / "MANIFEST.json").unlink()
    assert prefect_ml.load_model(saved).predict(ROWS[:1]).tolist() == [0]


def test_a_logged_model_is_trusted_by_every_way_to_it(store: Store, estimator: LogisticRegression):
    with prefect_ml.start_run(experiment="iris") as run:
        logged = prefect_ml.log_model(estimator, "model", example=ROWS[:3], register_as="iris")
    for uri in (logged.uri, "models:/iris/1", "models:/iris/latest"):
        loaded = prefect_ml.load_model(uri)
        assert loaded.digest == logged.digest
        assert loaded.run_id == run.id
        assert loaded.predict(ROWS[:2]).tolist() == [0, 0]
    folder = Path(prefect_ml.get_model_version("iris", 1).uri)
    assert prefect_ml.load_model(folder).predict(ROWS[:1]).tolist() == [0]
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest["files"]["model.skops"]["size"] += 1
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match=r"MANIFEST\.json|model\.skops"):
        prefect_ml.load_model("models:/iris/1")


def test_what_cannot_be_a_model_is_refused_with_a_sentence(tmp_path: Path, home: Path):
    with pytest.raises(UnknownFlavor, match=r"builtins\.list"):
        prefect_ml.save_model([1, 2], tmp_path / "a")
    with pytest.raises(UnknownFlavor, match="no flavor 'fortran'"):
        prefect_ml.save_model(abs, tmp_path / "b", flavor="fortran")
    with pytest.raises(UnknownFlavor, match="cannot save"):
        prefect_ml.save_model(abs, tmp_path / "c", flavor="sklearn")
    with pytest.raises(ModelError, match="its own example"):
        prefect_ml.save_model(lambda rows: rows.no_such, tmp_path / "d", example=[1.0])
    with pytest.raises(ArtifactError, match="exists already"):
        prefect_ml.save_model(abs, tmp_path)
    with pytest.raises(ArtifactError, match="nothing at"):
        prefect_ml.load_model(tmp_path / "nowhere", trust=True)
    assert not list(tmp_path.iterdir()) or {path.name for path in tmp_path.iterdir()} <= {"home"}


def test_signatures_of_arrays_and_tables():
    pd = pytest.importorskip("pandas")
    signature = prefect_ml.infer_signature(
        pd.DataFrame({"age": [1, 2], "size": [1.5, 2.5], "name": ["a", "b"], "ok": [True, False]}), np.zeros((2, 3))
    )
    assert [(column.name, column.type) for column in signature.inputs] == [
        ("age", "long"),
        ("size", "double"),
        ("name", "string"),
        ("ok", "boolean"),
    ]
    assert signature.outputs[0].shape == (-1, 3)
    assert type(signature).from_mlmodel(signature.as_mlmodel()) == signature


class Vocabulary:
    """A model that reads what it was saved with."""

    def load_context(self, context: Any) -> None:
        self.words = Path(context.artifacts["words"]).read_text().split()
        self.stop = (Path(context.artifacts["lists"]) / "stop.txt").read_text().split()

    def predict(self, context: Any, data: Any, params: dict[str, Any] | None = None) -> list[int]:
        known = set(self.words) - (set(self.stop) if (params or {}).get("strict") else set())
        return [len(known & set(text.split())) for text in data]


def test_artifacts_come_from_paths_and_from_runs(home: Path, tmp_path: Path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "stop.txt").write_text("the")
    with prefect_ml.start_run() as run:
        prefect_ml.log_text("the cat sat", "text/words.txt")
        places = {"words": f"runs:/{run.id}/text/words.txt", "lists": (tmp_path / "lists").as_uri()}
        logged = prefect_ml.log_model(Vocabulary(), artifacts=places, metadata={"team": "a"}, requirements=[])
    (tmp_path / "lists" / "stop.txt").unlink()
    model = prefect_ml.load_model(logged.uri)
    assert model.predict(["the cat", "dog"]) == [2, 0]
    assert model.predict(["the cat"], {"strict": True}) == [1]
    folder = prefect_ml.download_artifacts(run.id, "model", to=tmp_path / "down")
    assert yaml.safe_load((folder / "MLmodel").read_text())["metadata"] == {"team": "a"}
    for places, said in (({"a": "nowhere.txt"}, "does not exist"), ({"a/b": "x"}, "cannot be the name")):
        with pytest.raises((ArtifactError, ModelError), match=said):
            prefect_ml.save_model(Vocabulary(), tmp_path / "no", artifacts=places)
    assert not (tmp_path / "no").exists()


def test_what_another_tool_wrote_is_logged_and_registered_as_it_is(saved: Path, home: Path):
    (saved / "MANIFEST.json").unlink()
    loaded = prefect_ml.load_model(saved, trust=True)
    with prefect_ml.start_run() as run:
        logged = prefect_ml.log_model(loaded, register_as="iris")
        with pytest.raises(ModelError, match=r"leave the other arguments out"):
            prefect_ml.log_model(loaded, "again", example=ROWS[:2])
    kept = prefect_ml.load_model("models:/iris/1")
    assert (kept.run_id, kept.digest, kept.signature) == (run.id, logged.digest, loaded.signature)
    assert kept.predict(ROWS[:3]).tolist() == loaded.predict(ROWS[:3]).tolist()


def test_a_model_that_imports_prefect_ml_is_refused(tmp_path: Path, home: Path):
    def predict(rows: np.ndarray) -> np.ndarray:
        import prefect_ml.errors

        return rows if prefect_ml.errors else -rows

    with pytest.raises(ModelError, match="imports prefect_ml, which is not there"):
        prefect_ml.save_model(predict, tmp_path / "no", example=np.ones((1, 2)))
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"requirements": "numpy"}, "give a list of lines"),
        ({"requirements": ["scikit learn 1"]}, "'scikit learn 1' in requirements= names no package"),
        ({"code": "train.py"}, "give a list of them"),
    ],
)
def test_lists_that_are_none_are_refused(tmp_path: Path, home: Path, options: dict[str, Any], said: str):
    with pytest.raises(ModelError, match=said):
        prefect_ml.save_model(len, tmp_path / "no", **options)
    assert list(tmp_path.iterdir()) in ([], [home])


def test_installed_packages_are_named_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from prefect_ml.serving.runtime.flavors.pickles import write_pickle

    for folder, distribution in (("site", "tripling-1.0.dist-info"), ("mine", "notes")):
        module = f"{folder}_tripling"
        (tmp_path / folder / distribution).mkdir(parents=True)
        (tmp_path / folder / f"{module}.py").write_text("def triple(rows):\n    return 3 * rows\n")
        monkeypatch.syspath_prepend(tmp_path / folder)
        write_pickle(__import__(module).triple, tmp_path / f"{folder}.pkl")
    assert (tmp_path / "site.pkl").stat().st_size < 100 < (tmp_path / "mine.pkl").stat().st_size
