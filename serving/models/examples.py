"""The input example of a model: kept as JSON in MLflow's form, and sent to a new endpoint before it answers others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from ...errors import ModelError
from ..runtime.answers import as_plain
from ..runtime.descriptor import Descriptor, read_descriptor
from ..runtime.errors import BadInput
from ..runtime.flavors.base import inside
from ..runtime.protocol import KEYS, read_request
from ..runtime.signature import Plan
from ..runtime.signature.cells import as_mapping
from .signatures.tables import is_table

__all__ = ["EXAMPLE", "Example", "as_example", "example_request", "read_example", "write_example"]

EXAMPLE = "input_example.json"
_REQUEST = "serving_input_example.json"
_MOST_ROWS = 20
_SPARSE = ("csr", "csc")


@dataclass(frozen=True)
class Example:
    """Input data, and the inference parameters that go with it."""

    data: Any
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])


def as_example(given: Any) -> Example | None:
    """Take apart what people give as an example: data, or a tuple of data and a dict of parameters."""
    if given is None:
        return None
    if isinstance(given, tuple) and len(cast("tuple[Any, ...]", given)) == 2 and isinstance(given[1], Mapping):
        data, params = cast("tuple[Any, Mapping[str, Any]]", given)
        return Example(data, params)
    return Example(cast("Any", given))


def write_example(example: Example, folder: Path) -> dict[str, Any]:
    """Write the first rows of an example, and the scoring request that they make; give what `MLmodel` says of them.

    Raises:
        ModelError: It holds something that JSON cannot say.
    """
    rows = _first(example.data)
    try:
        kind, content, inputs = _written(rows)
        params: dict[str, Any] = as_plain(example.params, _null) if example.params else {}
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"The example cannot be kept as JSON ({error}); give plain arrays or a DataFrame.") from error
    extra = {"params": params} if params else {}
    _write(folder / EXAMPLE, {"inputs": content, **extra} if params else content)
    _write(folder / _REQUEST, {**inputs, **extra})
    about = {"artifact_path": EXAMPLE, "serving_input_path": _REQUEST, **kind}
    return {**about, "params": "true"} if params else about


def example_request(folder: Path) -> bytes | None:
    """Give the scoring request that a model folder's example makes, or None where it has none that can be sent.

    Raises:
        ValueError: The example is not JSON, or the folder is no model.
    """
    descriptor = read_descriptor(folder)
    if not descriptor.example.get("artifact_path"):
        return None
    ready = descriptor.example.get("serving_input_path")
    if ready is not None:
        content = _json(folder, ready)
        # Examples for language models are not in the protocol, they are what such a model takes.
        return json.dumps(content).encode() if isinstance(content, dict) and len({*KEYS} & {*content}) == 1 else None
    content, params = _parts(folder, descriptor)
    extra = {"params": params} if params else {}
    return json.dumps({**_as_inputs(content, str(descriptor.example.get("type"))), **extra}).encode()


def read_example(folder: Path) -> Example | None:
    """Read the example of a model folder, as what the model takes; None where it has none.

    Raises:
        ValueError: It cannot be read, or does not fit the signature.
    """
    descriptor = read_descriptor(folder)
    if not descriptor.example.get("artifact_path"):
        return None
    content, params = _parts(folder, descriptor)
    kind = str(descriptor.example.get("type"))
    if kind == "json_object":
        return Example(content, params)
    if kind.startswith("sparse_matrix_"):
        return Example(_sparse(content, kind), params)
    body = json.dumps(_as_inputs(content, kind)).encode()
    try:
        return Example(Plan(descriptor.signature).fit(read_request(body, "application/json").data)[0], params)
    except BadInput as error:
        raise ValueError(f"its example does not fit its signature ({error})") from error


def _first(data: Any) -> Any:
    if hasattr(data, "column_names") and hasattr(data, "slice"):  # Arrow
        return data.slice(0, _MOST_ROWS)
    if is_table(data) or getattr(data, "shape", ()):
        return data[:_MOST_ROWS]
    if isinstance(data, Mapping):
        return {name: _first_of_array(value) for name, value in cast("Mapping[str, Any]", data).items()}
    return cast("Any", data)[:_MOST_ROWS] if isinstance(data, (list, tuple)) else data


def _first_of_array(value: Any) -> Any:
    return cast("Any", value)[:_MOST_ROWS] if isinstance(value, np.ndarray) and value.ndim else cast("Any", value)


def _written(rows: Any) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """Give the kind of an example, its content, and the scoring request that it makes."""
    if is_table(rows):
        split = _split(rows)
        orient = "split" if "columns" in split else "values"
        return {"type": "dataframe", "pandas_orient": orient}, split, {"dataframe_split": split}
    if hasattr(rows, "toarray") and getattr(rows, "format", "") in _SPARSE:
        parts = {name: as_plain(getattr(rows, name), _null) for name in ("data", "indices", "indptr")}
        content = {**parts, "shape": list(rows.shape)}
        return {"type": f"sparse_matrix_{rows.format}"}, content, {"inputs": as_plain(rows.toarray(), _null)}
    if names := getattr(getattr(rows, "dtype", None), "names", None):
        return _written([dict(zip(names, row, strict=True)) for row in rows.tolist()])
    content = as_plain(_unwrapped(rows), _null)
    arrays = hasattr(rows, "__array__") or _are_arrays(rows)
    return {"type": "ndarray" if arrays else "json_object"}, content, {"inputs": content}


def _are_arrays(rows: Any) -> bool:
    values = list(cast("Mapping[str, Any]", rows).values()) if isinstance(rows, Mapping) else []
    return bool(values) and all(isinstance(one, np.ndarray) for one in values)


def _unwrapped(rows: Any) -> Any:
    row = as_mapping(rows)
    if row is not None:
        return dict(row)
    if isinstance(rows, (list, tuple)):
        return [_unwrapped(one) for one in cast("list[Any]", rows)]
    return rows.toarray() if hasattr(rows, "toarray") else rows


def _split(rows: Any) -> dict[str, Any]:
    frame = rows
    if hasattr(rows, "to_pandas"):  # polars and Arrow
        return {"columns": [str(name) for name in _names(rows)], "data": as_plain(_cells(rows), _null)}
    if hasattr(rows, "to_frame"):
        frame = rows.to_frame()
    data = as_plain([list(row) for row in frame.itertuples(index=False, name=None)], _null)
    labels = frame.columns.tolist()
    unnamed = labels == list(range(len(labels)))
    return {"data": data} if unnamed else {"columns": [str(name) for name in labels], "data": data}


def _names(rows: Any) -> Any:
    return getattr(rows, "column_names", None) or getattr(rows, "columns", None) or [rows.name]


def _cells(rows: Any) -> list[list[Any]]:
    if hasattr(rows, "to_pylist"):
        return [list(row.values()) for row in rows.to_pylist()]
    return [list(row) for row in rows.rows()] if hasattr(rows, "rows") else [[value] for value in rows.to_list()]


def _parts(folder: Path, descriptor: Descriptor) -> tuple[Any, dict[str, Any]]:
    content = _json(folder, descriptor.example.get("artifact_path"))
    if not descriptor.example.get("params"):
        return content, {}
    whole = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    params = whole.get("params")
    if "inputs" not in whole or not isinstance(params, dict):
        raise ValueError("its example has no 'inputs' and 'params', as its MLmodel file says")
    return whole["inputs"], cast("dict[str, Any]", params)


def _as_inputs(content: Any, kind: str) -> dict[str, Any]:
    if kind == "dataframe":
        return {"dataframe_split": content}
    if kind.startswith("sparse_matrix_"):
        return {"inputs": _sparse(content, kind).toarray().tolist()}
    # Early versions of MLflow wrote arrays as a request of TensorFlow Serving.
    if kind == "ndarray" and isinstance(content, dict) and list(cast("Any", content)) in (["inputs"], ["instances"]):
        return cast("dict[str, Any]", content)
    return {"inputs": content}


def _sparse(content: Any, kind: str) -> Any:
    from scipy import sparse  # pyright: ignore[reportMissingTypeStubs]

    try:
        parts = (content["data"], content["indices"], content["indptr"])
        return getattr(cast("Any", sparse), f"{kind[-3:]}_matrix")(parts, shape=tuple(content["shape"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"its example is no sparse matrix ({error})") from error


def _json(folder: Path, name: Any) -> Any:
    try:
        return json.loads(inside(folder, name).read_text())
    except (OSError, RecursionError) as error:
        raise ValueError(f"its example cannot be read ({error})") from error


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, allow_nan=False))


def _null(_: float) -> None:
    return None
