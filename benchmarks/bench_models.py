"""Saving and loading models, beside MLflow in the same run: each flavor, and a large model that lies on S3.

Both sides save the same model with the same example, for which both infer the signature, with the flavor's defaults.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from children import ours, peers
from rows import Row, as_markdown
from s3_server import s3_server

_ENVIRONMENT = Path(sys.prefix) / "bench" / "models" / "bin" / "python"
_MODELS = {
    "sklearn": "a scikit-learn forest of 100 trees",
    "xgboost": "200 trees of XGBoost",
    "pytorch": "a PyTorch model of 500 MB",
}
_WHERE = {"again": "in a process that has loaded it before", "fresh": "in a fresh process"}


def measure() -> list[Row]:
    """Run every case, each in a process of its own; without their environment, none."""
    if not _ENVIRONMENT.exists():
        return []
    with s3_server() as environ:
        return [*_flavors(), *_fresh(), *_from_s3(environ)]


def _flavors() -> Iterator[Row]:
    for flavor, what in _MODELS.items():
        own, peer = _ours(flavor), _peers(flavor) or {}
        if own is None:
            continue
        yield _row(f"save {what}, requirements given", own["save"], peer.get("save"))
        yield _row("the same, requirements found by loading it in a clean process", own["save and infer"],
                   peer.get("save and infer"))  # fmt: skip
        yield _row(f"load it until it has predicted for one row (the library alone: {own['native'] * 1e3:,.3g} ms)",
                   own["load"], peer.get("load"))  # fmt: skip
        if flavor == "pytorch":
            yield _row("the same the first time (here each byte is verified)", own["first load"],
                       peer.get("first load"))  # fmt: skip


def _fresh() -> Iterator[Row]:
    what = "load the forest in a fresh process until it has predicted, all imports included"
    yield _row(what, _ours("fresh"), _peers("fresh"))


def _from_s3(environ: dict[str, str]) -> Iterator[Row]:
    own = _ours("from_s3", **environ, PREFECT_ML_ARTIFACT_ROOT="s3://bucket/ours")
    peer = _peers("from_s3", **environ, MLFLOW_S3_ENDPOINT_URL=environ["AWS_ENDPOINT_URL"]) or {}
    if own is None:
        return
    yield _row("load the PyTorch model from S3 the first time", own["first"], peer.get("first"))
    for case, where in _WHERE.items():
        yield _row(f"load it again {where}, before PyTorch's own load", own[case], peer.get(case), "100 ms")


def _ours(case: str, **environ: str) -> Any:
    return ours(case, script="models_ours.py", python=_ENVIRONMENT, **environ)


def _peers(case: str, **environ: str) -> Any:
    return peers(case, script="models_mlflow.py", **environ)


def _row(what: str, seconds: float, peer: float | None, target: str = "") -> Row:
    return Row(what, seconds * 1e3, "ms", target, None if peer is None else peer * 1e3)


if __name__ == "__main__":
    print(as_markdown(measure()))
