"""Artifacts that are made on the spot: written to a file of their own name, and kept with the run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ..store.artifacts import check_relative, join, put_file
from .active import ActiveRun

__all__ = ["write_artifact"]


def write_artifact(run: ActiveRun, to: str, write: Callable[[Path], object]) -> str:
    """Have a file written, named as it shall be, and keep it with the run; give where it lies."""
    uri = join(run.artifact_uri, check_relative(to))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / PurePosixPath(check_relative(to)).name
        write(file)
        put_file(file, uri)
    return uri
