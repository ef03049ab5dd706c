"""Logging a model: saved and kept once, never changed, and found again as `runs:/<run_id>/<path>`."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..store.artifacts import check_relative
from .active import ActiveRun
from .promotion import register_model
from .scope import require_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LoggedModel", "log_model"]


@dataclass(frozen=True)
class LoggedModel:
    """A model that a run has logged.

    Attributes:
        uri: `runs:/<run_id>/<path>`.
        digest: sha256 of its manifest.
        version: Number of the version that it was registered as, or None.
    """

    uri: str
    digest: str
    version: int | None = None


def log_model(  # noqa: PLR0913 - each is a word that users look for
    model: Any,
    path: str = "model",
    *,
    example: Any = None,
    signature: Any = None,
    flavor: str | None = None,
    requirements: Sequence[str] | None = None,
    code: Sequence[str | Path] | None = None,
    artifacts: Mapping[str, str | Path] | None = None,
    metadata: Mapping[str, Any] | None = None,
    register_as: str | None = None,
    run: ActiveRun | None = None,
) -> LoggedModel:
    """Save a model with the run, and register it where a name is given.

    A model that was logged before, by any run, is not stored again.

    Args:
        model: The library's own object, or a function.
        path: Name of the model within the run.
        example: A few rows of input; the signature is inferred from them.
        signature: Its signature, where the example shall not decide.
        flavor: How to save it; found by the model's type by default.
        requirements: Its requirements; found by loading it in a clean process by default.
        code: Files or folders of Python code that it needs.
        artifacts: Files and folders that a `python_function` needs, by name: paths, `runs:/<run_id>/<path>` or fsspec
            URLs; `context.artifacts` gives their paths where it runs.
        metadata: Anything that JSON can say, kept in `MLmodel`.
        register_as: Name of the registered model that gets a new version.
        run: The run; the current one by default.

    Raises:
        NoActiveRun: No run is open.
        UnknownFlavor: Nothing knows how to save this object.
        ModelError: It cannot be saved, or not be loaded again.
    """
    from ..serving import save_model
    from ..serving.models.keeping import keep_model

    run = require_run("log_model", run)
    path = check_relative(path)
    with tempfile.TemporaryDirectory() as folder:
        saved = save_model(
            model,
            Path(folder) / "model",
            flavor=flavor,
            signature=signature,
            example=example,
            requirements=requirements,
            code=code,
            artifacts=artifacts,
            metadata=metadata,
            run_id=run.id,
        )
        row = keep_model(saved, run.id, run.attempt, path, store=run.store)
    logged = f"runs:/{run.id}/{path}"
    version = register_model(register_as, logged, store=run.store).version if register_as else None
    return LoggedModel(logged, row.digest, version)
