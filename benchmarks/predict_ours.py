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

NAMES = [f"x{place}" for place in range(10)]


def inputs(rows: int) -> dict[str, Any]:
    """Give the same rows in the forms that people have them in."""
    array = np.random.default_rng(0).random((rows, len(NAMES)))
    return {"array": array, "frame": pd.DataFrame(array, columns=NAMES)}


def beyond(predict: Callable[[Any], object], native: Callable[[Any], object], data: Any, times: int) -> list[float]:
    """Give what `predict` costs more than the library's own call, and what that costs: the quickest of calls in turn.

    What else runs on the machine only ever adds to a call; so what would be less than nothing is next to nothing.
    """
    through = own = float("inf")
    for _ in range(times):
        through = min(through, _seconds(predict, data))
        own = min(own, _seconds(native, data))
    return [max(1e-9, through - own), own]


def _seconds(call: Callable[[Any], object], data: Any) -> float:
    begun = time.perf_counter()
    call(data)
    return time.perf_counter() - begun


def measure(load: Callable[[str, Any], tuple[Callable[[Any], object], Callable[[Any], object]]]) -> dict[str, Any]:
    """Run every case with the models that `load` saves and loads, one for each form of the example."""
    found: dict[str, Any] = {}
    small, large = inputs(1), inputs(1_000_000)
    for form, example in inputs(100).items():
        predict, native = load(form, example)
        found[f"{form} row"] = beyond(predict, native, small[form], 1000)
        found[f"{form} million"] = beyond(predict, native, large[form], 30)
    return found


def estimator(example: Any) -> Any:
    """The model beside whose own time any overhead shows most."""
    from sklearn.linear_model import LinearRegression

    rows = inputs(10_000)["frame" if isinstance(example, pd.DataFrame) else "array"]
    return LinearRegression().fit(rows, np.asarray(rows).sum(axis=1))


def _load(form: str, example: Any) -> tuple[Callable[[Any], object], Callable[[Any], object]]:
    import prefect_ml

    path = Path(os.environ["PREFECT_ML_HOME"]) / form
    prefect_ml.save_model(estimator(example), path, example=example, requirements=[])
    model = prefect_ml.load_model(path, trust=True)
    return model.predict, model.native().predict


if __name__ == "__main__":
    print(json.dumps(measure(_load)))
    sys.stdout.flush()
