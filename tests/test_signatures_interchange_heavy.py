"""Signatures and examples, exchanged with the real MLflow in an environment of its own (`make bench` makes it)."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import prefect_ml
from prefect_ml.serving.models.examples import Example, example_request, read_example, write_example
from prefect_ml.serving.runtime.signature import Array, Column, Map, Object, Param, Property, Signature, Tensor

PEER = Path(sys.prefix) / "bench" / "mlflow" / "bin" / "python"
pytestmark = [pytest.mark.heavy, pytest.mark.skipif(not PEER.exists(), reason="MLflow's environment is not there")]

_READ = """
import json, sys
from mlflow.models import ModelSignature
entries = json.load(sys.stdin)
print(json.dumps([ModelSignature.from_dict(entry).to_dict() for entry in entries]))
"""
_WRITE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import datetime, numpy as np, pandas as pd, scipy.sparse as sparse
from mlflow.models import infer_signature, Model
from mlflow.models.utils import _save_example
from mlflow.types import schema as s
import os
frame = pd.DataFrame({"i": np.int32([1, 2]), "l": [1, 2], "f": np.float32([1, 2]), "d": [1.5, 2.5], "s": ["a", "b"],
    "b": [True, False], "t": pd.to_datetime(["2026-01-01", "2026-01-02"]), "y": [b"x", b"y"], "a": [[1], [2, 3]],
    "o": [{"x": 1.0, "y": "u"}, {"x": 2.0}]})
arrays = {"p": np.ones((2, 3), np.float32), "q": np.arange(2)}
params = {"k": 3, "rate": 0.5, "on": True, "stop": ["a"], "deep": {"x": 1}}
examples = {"frame": frame.drop(columns=["t"]), "unnamed": pd.DataFrame(np.ones((2, 2))),
    "array": np.array([[1.0, np.nan]]),
    "arrays": arrays, "rows": [{"x": 1, "y": ["a"]}], "texts": ["a", "b"], "record": {"x": 1, "y": "a"},
    "csr": sparse.csr_matrix(np.eye(3)), "csc": sparse.csc_matrix(np.eye(3)), "params": (np.ones((1, 2)), {"k": 3})}
found = {}
nested = [{"m": {"deep": [{"z": 1}]}, "n": None}]
for name, example in {**examples, "frame": frame, "nested": nested}.items():
    data, given = example if isinstance(example, tuple) else (example, None)
    found[name] = infer_signature(data, [1.0], params if name == "frame" else given).to_dict()
hand = s.Schema([s.ColSpec(s.Map(s.Array(s.DataType.long)), "m"), s.ColSpec(s.AnyType(), "any", required=False)])
from mlflow.models import ModelSignature
found["hand"] = ModelSignature(hand).to_dict()
for name, example in examples.items():
    folder = os.path.join(sys.argv[1], name)
    os.makedirs(folder)
    data, given = example if isinstance(example, tuple) else (example, None)
    model = Model(signature=infer_signature(data, params=given), flavors={"python_function": {"loader_module": "x"}})
    _save_example(model, example, folder)
    model.save(os.path.join(folder, "MLmodel"))
print(json.dumps(found))
"""
_EXAMPLE = """
import json, sys
import numpy as np
from mlflow.models import Model
model = Model.load(sys.argv[1])
data = model.load_input_example(sys.argv[1])
size = len(data) if isinstance(data, (dict, list)) else np.shape(data)
print(json.dumps([type(data).__name__, size]))
"""

FRAME = pd.DataFrame(
    {
        "count": np.int32([1, 2]), "size": [1.5, None], "name": ["a", "b"], "ok": [True, False], "raw": [b"x", b"y"],
        "at": pd.to_datetime(["2026-01-01", "2026-01-02"]), "parts": [[1], [2, 3]], "place": [{"x": 1.0}, {"y": "z"}],
    }
)  # fmt: skip


def peer(program: str, *arguments: str, given: Any = None) -> Any:
    done = subprocess.run(
        [str(PEER), "-c", program, *arguments], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_interchange_mlflow_reads_our_signatures_and_writes_the_same():
    inner = Object((Property("z", Map("any"), required=False), Property("a", Array("binary"))))
    params = {"k": 3, "rate": 0.5, "stop": ["a"], "at": datetime(2026, 1, 1), "deep": {"x": 1, "y": ["a"]}}
    ours = [
        prefect_ml.infer_signature(FRAME, np.ones((2, 3)), params),
        prefect_ml.infer_signature({"a": np.ones((2, 3), "f4"), "b": np.array(["x", "y"])}, ["a"]),
        prefect_ml.infer_signature(list[dict[str, list[float]]]),
        Signature((Column("o", Array(inner)), Column("any", "any", required=False)), (Tensor("bool", (-1, 2)),)),
        Signature((Column(None, "long"), Column(None, "string"))),
        Signature((Tensor("object", (-1,)),), (), (Param("p", "float", 0.5), Param("q", "integer", [1], (-1,)))),
    ]
    for written, read in zip(ours, peer(_READ, given=[one.as_mlmodel() for one in ours]), strict=True):
        assert read == written.as_mlmodel()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Signatures, and folders with examples, as MLflow writes them."""
    folder = tmp_path_factory.mktemp("mlflow")
    return folder, peer(_WRITE, str(folder))


def test_interchange_we_read_the_signatures_of_mlflow_and_write_the_same(theirs: tuple[Path, dict[str, Any]]):
    for name, entry in theirs[1].items():
        signature = Signature.from_mlmodel(entry)
        assert signature is not None
        if name != "unnamed":  # its columns are called 0 and 1, as numbers
            assert signature.as_mlmodel() == entry, name


def test_interchange_we_read_the_examples_of_mlflow(theirs: tuple[Path, dict[str, Any]]):
    found = {folder.name: read_example(folder) for folder in theirs[0].iterdir()}
    data = {name: example.data for name, example in found.items() if example}
    assert data["frame"]["y"].tolist() == [b"x", b"y"]
    assert data["unnamed"].shape == (2, 2)
    assert np.isnan(data["array"][0, 1])
    assert data["arrays"]["p"].dtype == np.float32
    assert data["csr"].nnz == data["csc"].nnz == 3
    assert data["texts"] == ["a", "b"]
    assert found["params"] is not None
    assert found["params"].params == {"k": 3}
    for name in data:
        assert json.loads(example_request(theirs[0] / name) or b"null"), name


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (FRAME.drop(columns="at"), ["DataFrame", [2, 7]]),
        (np.array([[1.0, np.nan]]), ["ndarray", [1, 2]]),
        ({"a": np.ones((2, 3)), "b": np.ones(2)}, ["dict", 2]),
        ([{"a": 1}], ["list", 1]),
        ((np.ones((1, 2)), {"k": 1}), ["ndarray", [1, 2]]),
    ],
)
def test_interchange_mlflow_reads_our_examples(example: Any, expected: list[Any], tmp_path: Path):
    data, params = example if isinstance(example, tuple) else (example, {})
    import yaml

    about = write_example(Example(data, params), tmp_path)
    signature = prefect_ml.infer_signature(data, params=params).as_mlmodel()
    content = {"flavors": {}, "signature": signature, "saved_input_example_info": about}
    (tmp_path / "MLmodel").write_text(yaml.safe_dump(content))
    assert peer(_EXAMPLE, str(tmp_path)) == expected
