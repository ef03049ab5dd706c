"""Artifacts that are made on the spot: written to a file of their own name, and kept with the run."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, cast

from ..errors import TrackingError
from ..store.artifacts import check_relative, join, put_file
from .active import ActiveRun

__all__ = ["json_text", "write_artifact"]


def write_artifact(run: ActiveRun, to: str, write: Callable[[Path], object]) -> str:
    """Have a file written, named as it shall be, and keep it with the run; give where it lies."""
    uri = join(run.artifact_uri, check_relative(to))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / PurePosixPath(check_relative(to)).name
        write(file)
        put_file(file, uri)
    return uri


def json_text(value: Any) -> str:
    """Write a value as JSON that every reader takes; NaN and the infinities as the strings of those names.

    Raises:
        TrackingError: It holds something that JSON cannot.
    """
    try:
        return json.dumps(_named(value), indent=2, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TrackingError(f"log_dict cannot write this as JSON ({error}); log plain values only.") from error


def _named(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _named(item) for name, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_named(item) for item in cast("Sequence[Any]", value)]
    return value
