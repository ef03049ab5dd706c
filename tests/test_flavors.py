"""What every flavor has to pass: one suite, run over a table of models.

To add a case, write a function that makes a model, with `@case(flavor, libraries...)` above it, which says

- the name of the flavor that has to save the model, and the modules without which the case is skipped;
- `heavy=True` where these are not in the environment of the light tests (`make test-heavy GROUP=flavors`), and
  `group="deep"` with a name that begins so where they come with that group;
- `executes=True` where loading the model runs code of its folder;
- `same_bytes=False` where its library writes other bytes each time, with the reason beside it.

The function is given a folder for files of its own, and returns `Made`: the model, rows that it takes, what the library
itself answers to them, and what else `save_model` is to be told.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
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
import yaml
from sklearn.base import BaseEstimator, TransformerMixin
from uv import find_uv_bin

import prefect_ml
from prefect_ml.errors import ModelError
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
    group: str


CASES: list[Any] = []


def case(
    flavor: str,
    *needs: str,
    executes: bool = False,
    same_bytes: bool = True,
    heavy: bool = False,
    group: str = "flavors",
) -> Callable[[Callable[[Path], Made]], Callable[[Path], Made]]:
    def add(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
        row = Case(make.__name__, flavor, needs, make, executes, same_bytes, group)
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


class Clipped(BaseEstimator, TransformerMixin):
    """A step of the user's own."""

    def fit(self, rows: np.ndarray, _: Any = None) -> Clipped:
        self.high_ = np.quantile(rows, 0.9)
        return self

    def transform(self, rows: np.ndarray) -> np.ndarray:
        return np.minimum(rows, self.high_)


@case("sklearn", "sklearn", executes=True)
def sklearn_pipeline_with_a_step_of_the_users_own(_: Path) -> Made:
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(Clipped(), LinearRegression()).fit(TABLE, SUMS)
    return Made(model, TABLE, model.predict(TABLE))


@case("sklearn", "sklearn", heavy=True)
def sklearn_method_of_a_forest(_: Path) -> Made:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=5).fit(TABLE, KINDS)
    return Made(model.predict_proba, TABLE, model.predict_proba(TABLE))


@case("sklearn", "sklearn", heavy=True)
def sklearn_transformer(_: Path) -> Made:
    from sklearn.decomposition import PCA

    model = PCA(2).fit(TABLE)
    return Made(model, TABLE, model.transform(TABLE))


@case("python_function", "sklearn", executes=True)
def function_that_closes_over_a_model(_: Path) -> Made:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(TABLE, SUMS)

    def rounded(rows: np.ndarray) -> np.ndarray:
        return model.predict(rows).round(2)

    return Made(rounded, TABLE, model.predict(TABLE).round(2))


class Weighted:
    """A model that reads what it was saved with."""

    def load_context(self, context: Any) -> None:
        self.weights = np.loadtxt(context.artifacts["weights"])
        self.names = sorted(path.name for path in Path(context.artifacts["more"]).iterdir())

    def predict(self, context: Any, data: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        assert self.names == ["a.txt", "b.txt"]
        return data @ np.loadtxt(context.artifacts["weights"]) * (params or {}).get("factor", 1)


@case("python_function", executes=True)
def object_with_artifacts(folder: Path) -> Made:
    (folder / "more").mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / "more" / name).write_text(name)
    np.savetxt(folder / "weights.txt", [1.0, 2.0, 3.0, 4.0])
    artifacts = {"weights": folder / "weights.txt", "more": folder / "more"}
    return Made(Weighted(), TABLE, TABLE @ [1, 2, 3, 4], {"artifacts": artifacts})


@case("xgboost", "xgboost", "sklearn", heavy=True)
def xgboost_classifier(_: Path) -> Made:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=5, max_depth=3).fit(TABLE, KINDS)
    return Made(model, TABLE, model.predict(TABLE))


@case("xgboost", "xgboost", "pandas", heavy=True)
def xgboost_booster_of_a_table(_: Path) -> Made:
    import pandas as pd
    import xgboost

    rows = pd.DataFrame(TABLE, columns=["a", "b", "c", "d"])
    data = xgboost.DMatrix(rows, SUMS)
    model = xgboost.train({"max_depth": 3}, data, 5)
    return Made(model, rows, model.predict(data))


@case("sklearn", "xgboost", "sklearn", heavy=True)
def xgboost_in_a_pipeline(_: Path) -> Made:
    import xgboost
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), xgboost.XGBRegressor(n_estimators=5)).fit(TABLE, SUMS)
    return Made(model, TABLE, model.predict(TABLE))


@case("lightgbm", "lightgbm", heavy=True)
def lightgbm_booster(_: Path) -> Made:
    import lightgbm

    model = lightgbm.train({"verbosity": -1, "min_data_in_leaf": 5}, lightgbm.Dataset(TABLE, SUMS), 5)
    return Made(model, TABLE, model.predict(TABLE))


@case("lightgbm", "lightgbm", "sklearn", "pandas", heavy=True)
def lightgbm_classifier_of_a_table(_: Path) -> Made:
    import lightgbm
    import pandas as pd

    rows = pd.DataFrame(TABLE, columns=["a", "b", "c", "d"])
    model = lightgbm.LGBMClassifier(n_estimators=5, verbosity=-1).fit(rows, KINDS)
    return Made(model, rows, model.predict(rows))


@case("catboost", "catboost", heavy=True)
def catboost_classifier(_: Path) -> Made:
    import catboost

    model = catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False).fit(TABLE, KINDS)
    return Made(model, TABLE, model.predict(TABLE))


@case("catboost", "catboost", "pandas", heavy=True)
def catboost_regressor_of_words(_: Path) -> Made:
    import catboost
    import pandas as pd

    rows = pd.DataFrame({"size": TABLE[:, 0], "kind": np.where(TABLE[:, 2] > 0, "a", "b")})
    model = catboost.CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False, cat_features=["kind"])
    return Made(model.fit(rows, SUMS), rows, model.predict(rows))


@case("statsmodels", "statsmodels", "pandas", heavy=True, executes=True)
def statsmodels_formula(_: Path) -> Made:
    import pandas as pd
    import statsmodels.formula.api as smf

    rows = pd.DataFrame(TABLE, columns=["a", "b", "c", "d"]).assign(sum=SUMS + TABLE[:, 3] ** 2)
    model = smf.ols("sum ~ a + np.exp(b)", rows).fit()
    return Made(model, rows[["a", "b"]], model.predict(rows))


@case("statsmodels", "statsmodels", "pandas", heavy=True, executes=True)
def statsmodels_time_series(_: Path) -> Made:
    import pandas as pd
    from statsmodels.tsa.arima.model import ARIMA

    model = ARIMA(np.cumsum(SUMS), order=(1, 1, 0)).fit()
    return Made(model, pd.DataFrame({"start": [60], "end": [64]}), model.predict(start=60, end=64))


@case("prophet", "prophet", "pandas", heavy=True)
def prophet_forecast(_: Path) -> Made:
    import pandas as pd
    from prophet import Prophet

    days = pd.date_range("2024-01-01", periods=60)
    model = Prophet(uncertainty_samples=0).fit(pd.DataFrame({"ds": days, "y": SUMS}))
    rows = model.make_future_dataframe(5)
    return Made(model, rows, model.predict(rows))


@case("pytorch", "torch", heavy=True, group="deep")
def deep_pytorch_layers_in_training(_: Path) -> Made:
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5))
    return Made(model, TABLE, answers_of_module(model))


# Reading a pickled class changes the names in it, and with them the next pickle.
@case("pytorch", "torch", "pandas", heavy=True, group="deep", executes=True, same_bytes=False)
def deep_pytorch_module_of_its_own_class(_: Path) -> Made:
    import pandas as pd
    import torch

    class Doubled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(4, 2)
            self.register_buffer("factor", torch.tensor(2.0), persistent=False)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return self.linear(rows) * self.factor

    model = Doubled()
    return Made(model, pd.DataFrame(TABLE, columns=list("abcd")), answers_of_module(model))


@case("pytorch", "torch", heavy=True, group="deep")
def deep_pytorch_torchscript(_: Path) -> Made:
    import torch

    model = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU()))
    return Made(model, TABLE.astype("float32"), answers_of_module(model))


# PyTorch writes an exported program with an id of its own each time, and evaluates parts of it on load.
@case("pytorch", "torch", heavy=True, group="deep", executes=True, same_bytes=False)
def deep_pytorch_exported_program(_: Path) -> Made:
    import torch

    module = torch.nn.Linear(4, 3)
    program = torch.export.export(module, (torch.ones(5, 4),), dynamic_shapes=({0: torch.export.Dim("rows")},))
    return Made(program, TABLE.astype("float32"), answers_of_module(module))


def answers_of_module(module: Any) -> np.ndarray:
    import torch

    modes = [one.training for one in module.modules()]
    module.eval()
    with torch.no_grad():
        answers = module(torch.tensor(TABLE, dtype=torch.float32)).numpy()
    for one, training in zip(module.modules(), modes, strict=True):
        one.training = training
    return answers


@case("onnx", "onnx", "onnxruntime", heavy=True, group="deep")
def deep_onnx_graph(_: Path) -> Made:
    from onnx import TensorProto, helper, numpy_helper

    weights = np.arange(8, dtype="float32").reshape(4, 2)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "weights"], ["sums"])],
        "sums",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return Made(model, TABLE, {"sums": TABLE.astype("float32") @ weights})


# Keras writes the date into its files.
@case("keras", "keras", heavy=True, group="deep", same_bytes=False)
def deep_keras_network(_: Path) -> Made:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1)])
    return Made(model, TABLE, model.predict(TABLE, verbose=0))


@case("keras", "keras", heavy=True, group="deep", same_bytes=False, executes=True)
def deep_keras_layer_of_its_own_class(_: Path) -> Made:
    import keras

    @keras.saving.register_keras_serializable("deep")
    class Doubled(keras.layers.Layer):
        def call(self, rows: Any) -> Any:
            return rows * 2

    model = keras.Sequential([keras.Input((4,)), Doubled(), keras.layers.Dense(1)])
    return Made(model, TABLE, model.predict(TABLE, verbose=0))


# TensorFlow gives each SavedModel a fingerprint of its own.
@case("tensorflow", "tensorflow", heavy=True, group="deep", same_bytes=False)
def deep_tensorflow_module(_: Path) -> Made:
    import tensorflow as tf

    class Sums(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(np.arange(8, dtype="float32").reshape(4, 2))

        @tf.function
        def __call__(self, rows: Any) -> Any:
            return rows @ self.weights

    rows = TABLE.astype("float32")
    return Made(Sums(), rows, rows @ np.arange(8, dtype="float32").reshape(4, 2))


@case("transformers", "transformers", "torch", "pandas", heavy=True, group="deep")
def deep_transformers_classifier_of_texts(_: Path) -> Made:
    import pandas as pd
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast, pipeline

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "wine", "very"]
    tokenizer = BertTokenizerFast(vocab={word: number for number, word in enumerate(words)})
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForSequenceClassification(BertConfig(vocab_size=len(words), **sizes)).eval()
    made = pipeline("text-classification", model=model, tokenizer=tokenizer)
    rows = pd.DataFrame({"text": ["very good wine", "bad wine", "good"]})
    return Made(made, rows, pd.DataFrame(made(rows["text"].tolist())))


# Spark numbers its models as they are made, and writes the time.
@case("spark", "pyspark", "pandas", heavy=True, group="deep", same_bytes=False)
def deep_spark_pipeline(_: Path) -> Made:
    import pandas as pd

    if shutil.which("java") is None:
        pytest.skip("Spark needs Java: install the package default-jre-headless")
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.regression import LinearRegression
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    rows = pd.DataFrame(TABLE, columns=list("abcd"))
    frame = session.createDataFrame(rows.assign(label=SUMS))
    stages = [VectorAssembler(inputCols=list("abcd"), outputCol="features"), LinearRegression()]
    model = Pipeline(stages=stages).fit(frame)
    return Made(model, rows, [row.prediction for row in model.transform(frame).collect()])


# The suite


@dataclass(frozen=True)
class Kept:
    """A model of the table that was saved."""

    case: Case
    made: Made
    folder: Path


@pytest.fixture(scope="module")
def keep(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Kept]:
    """Save a model of the table, once."""

    @functools.cache
    def kept_of(chosen: Case) -> Kept:
        for module in chosen.needs:
            if find_spec(module) is None:
                pytest.skip(f"{module} comes with `make test-heavy GROUP={chosen.group}`")
        folder = tmp_path_factory.mktemp(chosen.name)
        made = chosen.make(folder)
        saved = prefect_ml.save_model(made.model, folder / "model", example=made.rows, **made.options)
        assert saved.flavor == chosen.flavor
        return Kept(chosen, made, saved.path)

    return kept_of


@pytest.fixture(params=CASES)
def kept(request: pytest.FixtureRequest, keep: Callable[[Case], Kept]) -> Kept:
    return keep(request.param)


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
from prefect_ml_scoring.model import open_model
from prefect_ml_scoring.protocol import read_request
opened = open_model(Path(sys.argv[2]))
asked = read_request(Path(sys.argv[3]).read_bytes(), "application/json")
Path(sys.argv[4]).write_bytes(encode(opened.predict(asked.data, asked.params)))
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
    native, model = type(loaded.native()), type(getattr(kept.made.model, "__self__", kept.made.model))
    if kept.case.flavor != "tensorflow":  # whose files hold the graphs of an object, not its class
        assert (native.__module__, native.__name__) == (model.__module__, model.__name__)
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


# Interchange with MLflow itself, in an environment that has no prefect-ml

# It reads our folder through both of its doors, and writes the model anew.
MLFLOW = """
import importlib, json, sys
from pathlib import Path
import mlflow, numpy, pandas
assert not [name for name in sys.modules if name.partition(".")[0].startswith("prefect")]
ours, theirs, told = map(Path, sys.argv[1:])
model = mlflow.pyfunc.load_model(str(ours))
rows = model.metadata.load_input_example(str(ours))
answers = model.predict(rows)
if isinstance(answers, pandas.DataFrame):
    answers = json.loads(answers.to_json(orient="records", date_format="iso", double_precision=15))
answers = answers if isinstance(answers, (list, dict)) else numpy.asarray(answers).tolist()
found = {"answers": answers, "signature": model.metadata.signature.to_dict()}
told.write_text(json.dumps(found, default=lambda array: array.tolist()))
listed = model.metadata.flavors
name, loader = next(name for name in reversed(listed)), listed["python_function"]["loader_module"]
# MLflow cannot save what it has loaded of TensorFlow, and a model of ONNX runs without the package onnx.
if loader == f"mlflow.{name}" and name not in ("tensorflow", "onnx"):
    flavor = importlib.import_module(loader)
    words = ("serialization_format", "skops_trusted_types") if name in ("sklearn", "lightgbm") else ()
    options = {word: listed[name][word] for word in words if word in listed[name]}
    if name == "sklearn":
        options["pyfunc_predict_fn"] = listed[name]["predict_fn"]
    if name == "pytorch":
        exported = (ours / "data" / "model.pt2").exists()
        options = {"serialization_format": "pt2" if exported else "pickle", "input_example": rows if exported else None}
    native = flavor.load_model(str(ours))
    signature = model.metadata.signature
    flavor.save_model(native, str(theirs), signature=signature, pip_requirements=["none"], **options)
"""
BENCH = Path(__file__).parents[1] / ".venv" / "bench" / "mlflow" / "bin" / "python"
LOCK = Path(__file__).parents[1] / "benchmarks" / "mlflow.lock"


@pytest.fixture(scope="module")
def with_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Give the interpreter of an environment that holds MLflow and a model's requirements."""

    @functools.cache
    def made() -> Path:
        folder = tmp_path_factory.mktemp("mlflow") / "environment"
        uv(["venv", "--quiet", "--python", sys.executable, folder])
        uv(["pip", "install", "--quiet", "--python", folder, "--require-hashes", "--requirements", LOCK])
        return folder / "bin" / "python"

    def interpreter(requirements: Path) -> Path:
        links = [word for link in os.environ.get("PIP_FIND_LINKS", "").split() for word in ("--find-links", link)]
        uv(["pip", "install", "--quiet", "--python", made(), "--no-deps", *links, "--requirements", requirements])
        return made()

    return interpreter


def told_by(python: Path, program: str, *arguments: Any, folder: Path) -> None:
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    (folder / "program.py").write_text(program)  # PySpark takes what runs by -c for its own doctests, and may end it
    command = [str(python), "-P", str(folder / "program.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def hold_interchange(kept: Kept, python: Path, folder: Path) -> None:
    told = folder / "told.json"
    told_by(python, MLFLOW, kept.folder, folder / "theirs", told, folder=folder)
    found = json.loads(told.read_text())
    hold_the_same(found["answers"], kept.made.answers)
    written = yaml.safe_load((kept.folder / "MLmodel").read_text())["signature"]
    for side in ("inputs", "outputs"):
        assert json.loads(found["signature"][side]) == json.loads(written[side])
    if (folder / "theirs").exists():
        assert find_spec("mlflow") is None
        loaded = prefect_ml.load_model(folder / "theirs", trust=True)
        hold_the_same(loaded.predict(kept.made.rows), kept.made.answers)
        assert loaded.signature is not None
        assert loaded.signature.inputs
        assert bool(executes_on_load(folder / "theirs")) == kept.case.executes


@pytest.mark.heavy
@pytest.mark.parametrize("chosen", [row.values[0] for row in CASES], ids=[row.id for row in CASES])
def test_interchange_with_mlflow_both_ways(
    chosen: Case, keep: Callable[[Case], Kept], with_mlflow: Callable[[Path], Path], tmp_path: Path, home: Path
) -> None:
    kept = keep(chosen)
    hold_interchange(kept, with_mlflow(kept.folder / "requirements.txt"), tmp_path)


@pytest.mark.skipif(not BENCH.exists(), reason="`make bench` sets MLflow up")
def test_mlflow_and_we_read_each_others_pipelines(keep: Callable[[Case], Kept], tmp_path: Path, home: Path) -> None:
    hold_interchange(keep(CASES[0].values[0]), BENCH, tmp_path)


# What MLflow itself writes, in forms that we do not
WRITE = """
import sys
from pathlib import Path
import mlflow, numpy
from sklearn.linear_model import LogisticRegression
rows = numpy.arange(12.0).reshape(6, 2)
model = LogisticRegression().fit(rows, [0, 0, 0, 1, 1, 1])
root = Path(sys.argv[1])
for form in ("skops", "cloudpickle", "pickle"):
    mlflow.sklearn.save_model(model, str(root / form), serialization_format=form, input_example=rows)
mlflow.sklearn.save_model(model, str(root / "proba"), pyfunc_predict_fn="predict_proba")
class Own(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input
mlflow.pyfunc.save_model(str(root / "own"), python_model=Own())
with mlflow.start_run():
    print(mlflow.sklearn.log_model(model, name="model", input_example=rows).model_uri)
    path = mlflow.artifacts.download_artifacts(mlflow.last_logged_model().model_uri, dst_path=str(root / "logged"))
"""


@pytest.mark.heavy
def test_what_mlflow_has_written_loads_without_it(
    with_mlflow: Callable[[Path], Path], tmp_path: Path, home: Path
) -> None:
    (tmp_path / "none.txt").touch()
    (tmp_path / "written").mkdir()
    told_by(with_mlflow(tmp_path / "none.txt"), WRITE, tmp_path / "written", folder=tmp_path)
    rows = np.arange(12.0).reshape(6, 2)
    for form in ("skops", "cloudpickle", "pickle", "logged"):
        folder = tmp_path / "written" / form
        loaded = prefect_ml.load_model(folder, trust=True)
        assert loaded.predict(rows).tolist() == [0, 0, 0, 1, 1, 1]
        assert bool(executes_on_load(folder)) == (form in ("cloudpickle", "pickle"))
    assert prefect_ml.load_model(tmp_path / "written" / "proba", trust=True).predict(rows).shape == (6, 2)
    with pytest.raises(ModelError, match="install mlflow to load it"):
        prefect_ml.load_model(tmp_path / "written" / "own", trust=True)


WRITE_DEEP = """
import sys
from pathlib import Path
import keras, mlflow, numpy, tensorflow, torch
from mlflow.models import infer_signature
from onnx import TensorProto, helper, numpy_helper
root, rows = Path(sys.argv[1]), numpy.ones((3, 4), dtype="float32")
module = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Dropout(0.5)).eval()
network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
class Sums(tensorflow.Module):
    def __init__(self):
        self.weights = tensorflow.Variable(numpy.ones((4, 2), dtype="float32"))
    @tensorflow.function(input_signature=[tensorflow.TensorSpec([None, 4], tensorflow.float32)])
    def __call__(self, rows):
        return rows @ self.weights
sums = Sums()
graph = helper.make_graph(
    [helper.make_node("MatMul", ["rows", "weights"], ["sums"])],
    "sums",
    [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 4])],
    [helper.make_tensor_value_info("sums", TensorProto.FLOAT, ["n", 2])],
    [numpy_helper.from_array(numpy.ones((4, 2), dtype="float32"), "weights")],
)
graph = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
expected = {
    "pickle": module(torch.tensor(rows)).detach().numpy(),
    **dict.fromkeys(("keras", "exported"), network.predict(rows, verbose=0)),
    **dict.fromkeys(("module", "onnx"), sums(rows).numpy()),
}
mlflow.pytorch.save_model(module, str(root / "pickle"), pip_requirements=["none"], serialization_format="pickle")
options = {"pip_requirements": ["none"], "signature": infer_signature(rows, expected["keras"])}
mlflow.tensorflow.save_model(network, str(root / "keras"), **options)
mlflow.keras.save_model(network, str(root / "exported"), save_exported_model=True, **options)
mlflow.tensorflow.save_model(sums, str(root / "module"), **options)
beside = {"save_as_external_data": True, "size_threshold": 0}
mlflow.onnx.save_model(graph, str(root / "onnx"), pip_requirements=["none"], **beside)
for form, answers in expected.items():
    numpy.save(root / f"{form}.npy", answers)
"""


@pytest.mark.heavy
def test_what_mlflow_has_written_of_deep_libraries_loads_without_it(
    with_mlflow: Callable[[Path], Path], tmp_path: Path, home: Path
) -> None:
    from importlib.metadata import version

    libraries = ("torch", "keras", "tensorflow", "onnx", "onnxruntime")
    if not all(map(find_spec, libraries)):
        pytest.skip("these come with `make test-heavy GROUP=deep`")
    lock = Path(__file__).parent / "heavy" / "deep.lock"
    (tmp_path / "requirements.txt").write_text(f"{lock.read_text()}\ntorch=={version('torch').partition('+')[0]}\n")
    (tmp_path / "written").mkdir()
    told_by(with_mlflow(tmp_path / "requirements.txt"), WRITE_DEEP, tmp_path / "written", folder=tmp_path)
    for form, runs in (("pickle", True), ("keras", False), ("exported", False), ("module", False), ("onnx", False)):
        folder = tmp_path / "written" / form
        answers = prefect_ml.load_model(folder, trust=True).predict(np.ones((3, 4), dtype="float32"))
        answers = answers["sums"] if form == "onnx" else answers
        hold_the_same(answers, np.load(tmp_path / "written" / f"{form}.npy"))
        assert bool(executes_on_load(folder)) == runs


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
    if expected.dtype.kind == "M":  # dates go over JSON as text
        found, expected = found.astype("datetime64[s]"), expected.astype("datetime64[s]")
    if expected.dtype.kind in "iuf":
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-6, atol=1e-9)
    else:
        assert found.tolist() == expected.tolist()
