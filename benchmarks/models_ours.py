"""The cases of the models benchmark, with prefect-ml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models_made import answer, clock, elsewhere, make, rows, until_read


class Ours:
    """Saving and loading with prefect-ml."""

    def save(self, flavor: str, model: Any, path: Path, example: Any, requirements: list[str] | None) -> None:
        """Save with the flavor's defaults."""
        import prefect_ml

        assert prefect_ml.save_model(model, path, example=example, requirements=requirements).flavor == flavor

    def load(self, path: Path) -> Callable[[Any], Any]:
        """Load what was saved."""
        import prefect_ml

        return prefect_ml.load_model(path).predict


def from_s3() -> dict[str, float]:
    """Log a 500 MB model to S3 and load it: the first time, again, and again in a fresh process."""
    import safetensors.torch

    import prefect_ml

    with prefect_ml.start_run():
        uri = prefect_ml.log_model(make("pytorch"), "model", example=rows("pytorch"), requirements=["torch"]).uri
    begun = clock()
    prefect_ml.load_model(uri).predict(rows("pytorch", 1))
    first = clock() - begun
    again = min(until_read(lambda: prefect_ml.load_model(uri), safetensors.torch, "load_file") for _ in range(3))
    return {"first": first, "again": again, "fresh": elsewhere(__file__, "from_s3_again", uri)}


def from_s3_again(uri: str) -> float:
    """Seconds before the library's own load, the library and prefect-ml being imported."""
    import safetensors.torch

    from prefect_ml import load_model

    return until_read(lambda: load_model(uri), safetensors.torch, "load_file")


if __name__ == "__main__":
    answer(__file__, Ours(), {"from_s3": from_s3, "from_s3_again": from_s3_again})
