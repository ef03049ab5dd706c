"""The data of an evaluation: rows to score, and what is true of them."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import EvaluationError, ModelError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["rows_and_targets"]


def rows_and_targets(data: Any, targets: Any) -> tuple[Any, npt.NDArray[np.generic]]:
    """Take the data apart.

    Args:
        data: DataFrame of pandas or polars, Arrow table, array, or the path of a CSV or Parquet file.
        targets: Name of the column that holds the true labels or values, or those [rows].

    Returns:
        What the model is given, and the targets [rows].

    Raises:
        EvaluationError: There is no such file or column, a target is missing, or the lengths differ.
    """
    import numpy as np

    data = _read(Path(data)) if isinstance(data, (str, Path)) else _as_pandas(data)
    if isinstance(targets, str):
        data, targets = _without(data, targets)
    truth = np.asarray(targets)
    if truth.ndim != 1:
        raise EvaluationError(f"The targets have shape {truth.shape}; give one label or value per row.")
    rows = data.shape[0] if hasattr(data, "shape") else len(data)
    if rows != len(truth):
        raise EvaluationError(f"There are {rows} rows and {len(truth)} targets; give one target per row.")
    if not rows:
        raise EvaluationError("There are no rows to evaluate on; give some.")
    if missing := sum(_is_missing(value) for value in truth.tolist()):
        raise EvaluationError(f"{missing} of {rows} targets are missing; leave those rows out.")
    return data, truth.astype(str) if truth.dtype == object and isinstance(truth[0], str) else truth


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _read(path: Path) -> Any:
    if not path.is_file():
        raise EvaluationError(f"There is no file {path} to evaluate on; give the path of a CSV or Parquet file.")
    try:
        pandas: Any = importlib.import_module("pandas")
        return pandas.read_parquet(path) if path.suffix in (".parquet", ".pq") else pandas.read_csv(path)
    except ImportError as error:
        raise ModelError(f"Reading {path} needs {error.name}; install it, or give the data itself.") from error
    except (ValueError, OSError) as error:
        raise EvaluationError(f"{path} cannot be read as a table ({' '.join(str(error).split())}).") from error


def _as_pandas(data: Any) -> Any:
    turn = getattr(data, "to_pandas", None)  # polars and Arrow
    return turn() if callable(turn) else data


def _without(data: Any, column: str) -> tuple[Any, Any]:
    columns: list[Any] = list(getattr(data, "columns", ()))
    if column not in columns:
        known = ", ".join(map(str, columns)) or "none, as it is no table"
        raise EvaluationError(f"There is no column {column!r} with the targets; the data has {known}.")
    return data.drop(columns=[column]), data[column]
