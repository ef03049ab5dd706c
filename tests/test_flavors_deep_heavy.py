"""What the suite of all flavors does not ask of the deep ones (`make test-heavy GROUP=deep`)."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import prefect_ml
from prefect_ml.errors import ModelError
from prefect_ml.serving.runtime.model import executes_on_load

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
NONE = ["none"]  # requirements, where a test is not about them


def test_a_module_comes_back_with_all_that_its_tensors_were(tmp_path: Path, home: Path) -> None:
    torch = pytest.importorskip("torch")

    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(4, 8)
            self.second = torch.nn.Linear(4, 8, bias=False)
            self.second.weight = self.first.weight
            self.norm = torch.nn.BatchNorm1d(8).eval()
            self.frozen = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16), requires_grad=False)
            self.register_buffer("scale", torch.full((4,), 2.0), persistent=False)
            self.turned = self.first.weight.detach().t()
            self.sparse = torch.eye(3).to_sparse()
            self.empty = torch.nn.Parameter(torch.empty(0))

        def forward(self, rows: Any) -> Any:
            return self.norm(self.first(rows * self.scale) + self.second(rows))

    saved = prefect_ml.save_model(Tied(), tmp_path / "model", example=ROWS, requirements=NONE)
    loaded = prefect_ml.load_model(saved.path, trust=True)
    native = loaded.native()
    assert native.second.weight is native.first.weight
    assert native.turned.data_ptr() == native.first.weight.data_ptr()
    assert native.turned.stride() == (1, 4)
    assert "scale" not in native.state_dict()
    assert native.scale.tolist() == [2.0] * 4
    assert (native.frozen.dtype, native.frozen.requires_grad) == (torch.bfloat16, False)
    assert native.sparse.to_dense().tolist() == torch.eye(3).tolist()
    before = loaded.predict(ROWS)
    assert (native.training, native.norm.training, native.first.training) == (True, False, True)
    weights = saved.path / "weights.safetensors"
    assert weights.name in Path("/proc/self/maps").read_text()  # mapped, not read
    content = weights.read_bytes()
    with torch.no_grad():
        native.first.weight.add_(1)
    assert weights.read_bytes() == content
    assert not np.allclose(loaded.predict(ROWS), before)


def test_a_skeleton_that_says_it_is_harmless_may_name_nothing_else(tmp_path: Path, home: Path) -> None:
    torch = pytest.importorskip("torch")
    saved = prefect_ml.save_model(torch.nn.Linear(4, 2), tmp_path / "model", example=ROWS, requirements=NONE).path
    assert executes_on_load(saved) == ()

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "evil"),)

    saved.chmod(0o755)
    (saved / "skeleton.pkl").chmod(0o644)
    (saved / "skeleton.pkl").write_bytes(pickle.dumps(Evil()))
    (saved / "MANIFEST.json").unlink()
    with pytest.raises(ModelError, match=r"layers of PyTorch only"):
        prefect_ml.load_model(saved, trust=True)
    assert not (tmp_path / "evil").exists()


def test_arguments_of_a_module_come_by_name_and_answers_keep_their_form(tmp_path: Path, home: Path) -> None:
    torch = pytest.importorskip("torch")

    class Both(torch.nn.Module):
        def forward(self, left: Any, right: Any) -> Any:
            return {"sum": left + right, "both": (left, right)}

    example = {"left": ROWS, "right": ROWS}
    saved = prefect_ml.save_model(Both(), tmp_path / "model", example=example, requirements=NONE)
    answers = prefect_ml.load_model(saved.path, trust=True).predict(example)
    assert np.array_equal(answers["sum"], ROWS * 2)
    assert isinstance(answers["both"], tuple)


def test_weights_of_onnx_may_lie_beside_the_model(tmp_path: Path, home: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "weights"], ["sums"])],
        "sums",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.ones((4, 2), dtype="float32"), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save_model(model, tmp_path / "model.onnx", save_as_external_data=True, location="beside", size_threshold=0)
    config = {"flavors": {"onnx": {"data": "model.onnx"}}}
    (tmp_path / "MLmodel").write_text(yaml.safe_dump(config))
    loaded = prefect_ml.load_model(tmp_path, trust=True)
    assert np.allclose(loaded.predict(ROWS)["sums"], ROWS.sum(axis=1, keepdims=True))
    assert loaded.native().graph.node[0].op_type == "MatMul"


def test_lambdas_of_keras_are_said_and_loaded(tmp_path: Path, home: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda rows: rows * 2, output_shape=(4,))])
    saved = prefect_ml.save_model(model, tmp_path / "model", example=ROWS, requirements=NONE).path
    assert executes_on_load(saved) == ("the lambda layers of data/model.keras",)
    assert np.allclose(prefect_ml.load_model(saved, trust=True).predict(ROWS), ROWS * 2)


ON_TORCH = """
import sys, keras, numpy, prefect_ml
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
rows = numpy.ones((3, 4), dtype="float32")
saved = prefect_ml.save_model(model, sys.argv[1], example=rows)
assert saved.flavor == "keras"
numpy.save(sys.argv[2], model.predict(rows, verbose=0))
"""
AGAIN = """
import sys, numpy, prefect_ml
loaded = prefect_ml.load_model(sys.argv[1], trust=True)
assert numpy.allclose(loaded.predict(numpy.ones((3, 4), dtype="float32")), numpy.load(sys.argv[2]), atol=1e-6)
assert sys.modules["keras"].backend.backend() == "torch"
"""


def test_keras_runs_on_the_backend_that_it_was_saved_with(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    arguments = [str(tmp_path / "model"), str(tmp_path / "answers.npy")]
    for program, environ in ((ON_TORCH, {**os.environ, "KERAS_BACKEND": "torch"}), (AGAIN, dict(os.environ))):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    needed = (tmp_path / "model" / "requirements.txt").read_text()
    assert "torch==" in needed
    assert "tensorflow" not in needed


def test_code_that_comes_with_a_pipeline_is_said_and_not_run(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("transformers")
    config = {"task": "text-classification", "pipeline_model_type": "Own", "model_binary": "model", "components": []}
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"flavors": {"transformers": config}}))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"auto_map": {"AutoModel": "own.Own"}}')
    (tmp_path / "model" / "own.py").write_text("raise SystemExit")
    assert executes_on_load(tmp_path) == ("the code that model/config.json asks for",)
    with pytest.raises(ModelError, match=r"is not run"):
        prefect_ml.load_model(tmp_path, trust=True)
