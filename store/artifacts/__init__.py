"""Artifacts: files and folders below a local folder or any fsspec URL, hashed, each of them whole or not there."""

from __future__ import annotations

from .ledger import Artifact
from .paths import check_relative, join
from .reading import exists, fetch, list_entries, list_files
from .writing import add_folder, put_file, put_folder, remove

__all__ = [
    "Artifact",
    "add_folder",
    "check_relative",
    "exists",
    "fetch",
    "join",
    "list_entries",
    "list_files",
    "put_file",
    "put_folder",
    "remove",
]
