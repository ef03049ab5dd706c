"""The cases of the predict benchmark, with MLflow: runs in an environment of its own, which holds nothing of ours."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

from predict_ours import measure


def _load(form: str, model: Any, example: Any) -> Callable[[Any], object]:
    import mlflow

    signature = mlflow.models.infer_signature(example, model.predict(example))
    path = f"{tempfile.mkdtemp()}/{form}"
    mlflow.sklearn.save_model(model, path, signature=signature, pip_requirements=[], serialization_format="cloudpickle")
    return mlflow.pyfunc.load_model(path).predict


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print(json.dumps(measure(_load)))
