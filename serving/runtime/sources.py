"""Importing the source files that travel with a model, without ever writing or reading bytecode in its folder.

Bytecode beside the sources would be a file that the manifest does not know, and one that runs in their place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path

__all__ = ["COMPANION", "add_code"]

COMPANION = "prefect_ml_loader_"  # begins the name of the loader that travels with a model for tools without ours


class _PlainSource(SourceFileLoader):
    def path_stats(self, path: str) -> dict[str, float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Without a modification time the import system neither reads nor writes a .pyc file.
        raise OSError(path)


def add_code(folder: Path) -> None:
    """Put a model's `code` folder first on the import path; a second time changes nothing."""
    entry = str(folder.resolve())
    if entry in sys.path:
        return
    sys.path_hooks.insert(0, _hook(entry))
    sys.path_importer_cache.pop(entry, None)
    sys.path.insert(0, entry)


def _hook(root: str) -> Callable[[str], FileFinder]:
    def find(path: str) -> FileFinder:
        if not Path(path).is_relative_to(root):
            raise ImportError(path)
        return FileFinder(path, (_PlainSource, SOURCE_SUFFIXES))

    return find
