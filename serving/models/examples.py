"""The input example of a model: kept as JSON, and sent to a new endpoint before it may answer anybody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from ...errors import ModelError
from ..runtime.answers import as_plain
from ..runtime.descriptor import read_descriptor

__all__ = ["EXAMPLE", "example_info", "example_request", "write_example"]

EXAMPLE = "input_example.json"
_MOST_ROWS = 20


def write_example(example: Any, folder: Path) -> None:
    """Write the first rows of an example.

    Raises:
        ModelError: It holds something that JSON cannot say.
    """
    rows = example[:_MOST_ROWS]
    try:
        if _is_frame(example):
            content = {"columns": [str(name) for name in rows.columns], "data": as_plain(_cells(rows), _null)}
        else:
            content = {"inputs": as_plain(rows, float)}  # as the bare NaN that JSON readers know
    except (TypeError, ValueError) as error:
        raise ModelError(f"The example cannot be kept as JSON ({error}); give plain arrays or a DataFrame.") from error
    (folder / EXAMPLE).write_text(json.dumps(content))


def example_info(example: Any) -> dict[str, Any]:
    """Give what `MLmodel` says about the example."""
    if _is_frame(example):
        return {"artifact_path": EXAMPLE, "type": "dataframe", "pandas_orient": "split"}
    return {"artifact_path": EXAMPLE, "type": "ndarray", "format": "tf-serving"}


def example_request(folder: Path) -> bytes | None:
    """Give the scoring request that a model folder's example makes, or None where it has none.

    Raises:
        ValueError: The example is not JSON, or the folder is no model.
    """
    name = read_descriptor(folder).example.get("artifact_path")
    if name is None:
        return None
    content = json.loads((folder / name).read_text())
    if isinstance(content, dict) and "data" in content:
        return json.dumps({"dataframe_split": cast("dict[str, Any]", content)}).encode()
    return json.dumps(cast("Any", content if isinstance(content, dict) else {"inputs": content})).encode()


def _cells(rows: Any) -> list[list[Any]]:
    return [list(row) for row in rows.itertuples(index=False, name=None)]


def _null(_: float) -> None:
    return None


def _is_frame(example: Any) -> bool:
    return hasattr(example, "columns") and hasattr(example, "to_numpy")
