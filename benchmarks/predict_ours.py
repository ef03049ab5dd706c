"""The cases of the predict benchmark, with prefect-ml: what `predict` costs beyond the library's own call."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

NAMES = [f"x{place}" for place in range(10)]


def inputs(rows: int) -> dict[str, Any]:
    """Give the same rows in the forms that people have them in."""
    array = np.random.default_rng(0).random((rows, len(NAMES)))
    return {"array": array, "frame": pd.DataFrame(array, columns=NAMES)}


def beyond(predict: Callable[[Any], object], own: Callable[[Any], object], data: Any, times: int) -> list[float]:
    """Give the seconds that `predict` costs with a model that does nothing, and those of a real model: the quickest."""
    through = real = float("inf")
    for _ in range(times):
        through = min(through, _seconds(predict, data))
        real = min(real, _seconds(own, data))
    return [through, real]


def _seconds(call: Callable[[Any], object], data: Any) -> float:
    begun = time.perf_counter()
    call(data)
    return time.perf_counter() - begun


def measure(load: Callable[[str, Any, Any], Callable[[Any], object]]) -> dict[str, Any]:
    """Run every case with models that `load` saves and loads: the difference of two long calls would be mere noise."""
    found: dict[str, Any] = {}
    small, large = inputs(1), inputs(1_000_000)
    for form, example in inputs(100).items():
        predict, own = load(form, Nothing(), example), regression(form)
        found[f"{form} row"] = beyond(predict, own, small[form], 1000)
        found[f"{form} million"] = beyond(predict, own, large[form], 30)
    return found


class Nothing(BaseEstimator):
    """A model that takes no time."""

    def predict(self, rows: Any) -> Any:
        return np.zeros(1)


def regression(form: str) -> Callable[[Any], object]:
    """The model beside whose own time any overhead shows most."""
    rows = inputs(1000)[form]
    return LinearRegression().fit(rows, np.asarray(rows).sum(axis=1)).predict


def _load(form: str, model: Any, example: Any) -> Callable[[Any], object]:
    import prefect_ml

    path = Path(os.environ["PREFECT_ML_HOME"]) / form
    prefect_ml.save_model(model, path, example=example, requirements=[])
    return prefect_ml.load_model(path, trust=True).predict


if __name__ == "__main__":
    print(json.dumps(measure(_load)))
    sys.stdout.flush()
