"""Plain Python: a function, or any object with `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

from .pickles import python_function, write_pickle

__all__ = ["NAME", "matches", "save"]

NAME = "python_function"
_FILE = "python_model.pkl"


def matches(model: Any) -> bool:
    """Whether the model can be called on data, or has `predict`; a class is neither, for it takes no data."""
    return not isinstance(model, type) and (callable(model) or callable(getattr(model, "predict", None)))


def save(model: Any, folder: Path) -> dict[str, dict[str, Any]]:
    """Write the function or object."""
    write_pickle(model, folder / _FILE)
    return {
        NAME: {
            **python_function("mlflow.pyfunc.model"),
            "python_model": _FILE,
            "cloudpickle_version": cloudpickle.__version__,
        }
    }
