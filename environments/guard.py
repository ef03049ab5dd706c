"""Refusing to run a project's code outside the environment that the project declares."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import EnvironmentFailed
from .declared import declared_of, project_folder
from .environment import marker_of

__all__ = ["require_declared"]


def require_declared(path: Path) -> None:
    """Check that this process runs in the environment that the project of a source file declares.

    Prefect falls back to the worker's own environment without a word when it cannot start a flow in the project's;
    this turns that into a failure.

    Args:
        path: The source file (or the project's folder).

    Raises:
        EnvironmentFailed: It runs in another environment, or the project declares none.
    """
    folder = project_folder(path)
    marker = marker_of(Path(sys.prefix))
    if marker is not None and _was_started_in(marker):
        return  # such as a rerun, in what the lock of the first run gives
    # A conda.yaml can be built by uv or by a conda tool: what counts is that it is this project's.
    declared = declared_of(folder, kind=marker.get("kind") if marker else None)
    if marker is not None and marker.get("digest") == declared.digest:
        return
    running = f"environment {marker['digest']}" if marker else "no environment that prefect-ml built"
    raise EnvironmentFailed(
        f"This runs in {sys.prefix}, {running}, but {declared.origin} declares environment {declared.digest}:"
        f" start it with `prefect-ml run {folder}`, or through its deployment, whose prefect.yaml must have the build"
        " step `declare_environment` and the pull step `enter_project` of `prefect_ml.environments.steps`."
    )


def _was_started_in(marker: Mapping[str, Any]) -> bool:
    """Whether prefect-ml itself has made this environment for this run of a project."""
    try:
        told: dict[str, Any] = json.loads(os.environ.get("PREFECT_ML_PROJECT", "{}"))
    except ValueError:
        return False
    return told.get("environment") == f"{marker.get('kind')}:{marker.get('digest')}"
