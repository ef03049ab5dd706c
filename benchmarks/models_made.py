"""The models that are saved and loaded, and what is measured of them on each side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

clock = time.perf_counter
FLAVORS = ("sklearn", "xgboost", "pytorch")
_WIDTH = {"sklearn": 20, "xgboost": 20, "pytorch": 4000}


class Side(Protocol):
    """Saving and loading with one of the two."""

    def save(self, flavor: str, model: Any, path: Path, example: Any, requirements: list[str] | None) -> None:
        """Save to a new folder; what the model needs is found where no requirements are given."""
        ...

    def load(self, path: Path) -> Callable[[Any], Any]:
        """Load from a folder, and give what predicts."""
        ...


def rows(flavor: str, count: int = 3) -> Any:
    """Give rows as such a model takes them."""
    return np.random.default_rng(0).random((count, _WIDTH[flavor])).astype(np.float32)


def make(flavor: str) -> Any:
    """Fit a model: a forest of 100 trees, 200 boosted trees, or layers with 500 MB of weights."""
    if flavor == "pytorch":
        import torch

        width = _WIDTH[flavor]
        return torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(8))).eval()
    some = rows(flavor, 2000)
    truth = (some.sum(axis=1) > some.shape[1] / 2).astype(int)
    if flavor == "sklearn":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(100, random_state=0).fit(some, truth)
    import xgboost

    return xgboost.XGBClassifier(n_estimators=200).fit(some, truth)


def measure(flavor: str, side: Side) -> dict[str, float]:
    """Give seconds for each thing that is done with such a model."""
    model, example, one = make(flavor), rows(flavor), rows(flavor, 1)
    library = {"sklearn": "scikit-learn", "xgboost": "xgboost-cpu", "pytorch": "torch"}[flavor]
    with tempfile.TemporaryDirectory(dir=os.environ["PREFECT_ML_HOME"]) as folder:
        to = (Path(folder) / str(number) for number in range(100))
        side.save(flavor, model, next(to), example, [library])  # imports what it needs
        saved = [next(to) for _ in range(1 if flavor == "pytorch" else 3)]
        save = partial(side.save, flavor, model, example=example, requirements=[library])
        found = {"save": min(_seconds(partial(save, path)) for path in saved)}
        last = saved[-1]
        found["first load"] = _seconds(lambda: side.load(last)(one))
        found["load"] = min(_seconds(lambda: side.load(last)(one)) for _ in range(5))
        found["save and infer"] = _seconds(lambda: side.save(flavor, model, next(to), example, None))
        found["native"] = _native(flavor, model, Path(folder) / "native", one)
    return found


def _native(flavor: str, model: Any, path: Path, one: Any) -> float:
    """Load and predict with nothing but the library, as its documentation says."""
    if flavor == "sklearn":
        import joblib

        joblib.dump(model, path)
        return min(_seconds(lambda: joblib.load(path).predict(one)) for _ in range(5))
    if flavor == "xgboost":
        import xgboost

        model.save_model(path.with_suffix(".ubj"))

        def load() -> None:
            loaded = xgboost.XGBClassifier()
            loaded.load_model(path.with_suffix(".ubj"))
            loaded.predict(one)

        return min(_seconds(load) for _ in range(5))
    import torch

    torch.save(model, path)
    row = torch.from_numpy(one)
    return min(_seconds(lambda: torch.load(path, weights_only=False)(row)) for _ in range(5))


def _seconds(call: Callable[[], object]) -> float:
    begun = clock()
    call()
    return clock() - begun


def until_read(load: Callable[[], object], module: Any, name: str) -> float:
    """Give the seconds from calling `load` until the library's own reader, a function of a module, is entered."""
    original, entered = getattr(module, name), list[float]()

    def reader(*args: Any, **options: Any) -> Any:
        entered.append(clock())
        return original(*args, **options)

    setattr(module, name, reader)
    begun = clock()
    load()
    setattr(module, name, original)
    return entered[0] - begun


def elsewhere(script: str, *arguments: str) -> Any:
    """Run a case in a fresh process, with the home of this one."""
    command = [sys.executable, script, *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def answer(script: str, side: Side, cases: dict[str, Callable[..., Any]]) -> None:
    """Run the case that the command line names, and print what it gives as JSON; null where a library is missing."""
    case, *arguments = sys.argv[1:]
    own = {"fresh": lambda: _fresh(script, side), "fresh_load": lambda path: _fresh_load(side, path)}
    run = {**own, **cases}.get(case) or (lambda: measure(case, side))
    try:
        found = run(*arguments)
    except ModuleNotFoundError as error:
        print(f"Left out, as {error.name} is not installed: {case}", file=sys.stderr)
        found = None
    print(json.dumps(found))
    sys.stdout.flush()


def _fresh(script: str, side: Side) -> float:
    """Save a model, and give the seconds that fresh processes take until its first prediction, all imports included."""
    path = Path(os.environ["PREFECT_ML_HOME"]) / "fresh"
    side.save("sklearn", make("sklearn"), path, rows("sklearn"), ["scikit-learn"])
    return min(elsewhere(script, "fresh_load", str(path)) for _ in range(3))


def _fresh_load(side: Side, path: str) -> float:
    one = rows("sklearn", 1)
    return _seconds(lambda: side.load(Path(path))(one))
