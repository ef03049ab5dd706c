"""What a run ran, found out off the caller's path: code, software, and the Prefect run around it."""

from __future__ import annotations

from .capture import Capture, Given, capture_source, entry_point_of, notebook_of, source_file_of
from .deployment import INPUTS, LOCK

__all__ = [
    "INPUTS",
    "LOCK",
    "Capture",
    "Given",
    "capture_source",
    "entry_point_of",
    "notebook_of",
    "source_file_of",
]
