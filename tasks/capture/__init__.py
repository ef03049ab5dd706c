"""What a run ran, found out off the caller's path: code, software, and the Prefect run around it."""

from __future__ import annotations

from .capture import Capture, Given, capture_source, entry_point_of, notebook_of, source_file_of

__all__ = ["Capture", "Given", "capture_source", "entry_point_of", "notebook_of", "source_file_of"]
