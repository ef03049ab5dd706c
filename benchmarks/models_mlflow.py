"""The cases of the models benchmark, with MLflow: runs in an environment of its own, which holds nothing of ours."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models_made import answer, clock, elsewhere, make, rows, until_read


class Theirs:
    """Saving and loading with MLflow."""

    def save(self, flavor: str, model: Any, path: Path, example: Any, requirements: list[str] | None) -> None:
        """Save with the flavor's defaults; a forest is refused unless its class is named."""
        module = importlib.import_module(f"mlflow.{flavor}")
        options = {"skops_trusted_types": ["sklearn.tree._tree.Tree"]} if flavor == "sklearn" else {}
        module.save_model(model, str(path), input_example=example, pip_requirements=requirements, **options)

    def load(self, path: Path | str) -> Callable[[Any], Any]:
        """Load what was saved."""
        import mlflow

        return mlflow.pyfunc.load_model(str(path)).predict


def from_s3() -> dict[str, float]:
    """Copy a 500 MB model to S3 and load it: the first time, again, and again in a fresh process."""
    import torch
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    folder, uri = Path(os.environ["PREFECT_ML_HOME"]) / "model", "s3://bucket/mlflow/model"
    Theirs().save("pytorch", make("pytorch"), folder, rows("pytorch"), ["torch"])
    get_artifact_repository(uri).log_artifacts(str(folder))
    begun = clock()
    Theirs().load(uri)(rows("pytorch", 1))
    first = clock() - begun
    again = min(until_read(lambda: Theirs().load(uri), torch.export, "load") for _ in range(3))
    return {"first": first, "again": again, "fresh": elsewhere(__file__, "from_s3_again", uri)}


def from_s3_again(uri: str) -> float:
    """Seconds before the library's own load, the library and MLflow being imported."""
    import mlflow.pyfunc
    import torch

    return until_read(lambda: mlflow.pyfunc.load_model(uri), torch.export, "load")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    answer(__file__, Theirs(), {"from_s3": from_s3, "from_s3_again": from_s3_again})
