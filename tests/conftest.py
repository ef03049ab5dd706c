"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_ml.store import Store, open_store

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # children start three times slower without bytecode
os.environ["DO_NOT_TRACK"] = "1"

_INHERITED = ("PREFECT_ML_", "PREFECT_API", "PREFECT_HOME")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh PREFECT_ML_HOME, with no other setting inherited."""
    for key in [key for key in os.environ if key.startswith(_INHERITED) and key != "PREFECT_ML_REQUIRE"]:
        monkeypatch.delenv(key)
    folder = tmp_path / "home"
    monkeypatch.setenv("PREFECT_ML_HOME", str(folder))
    return folder


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """An open store of its own."""
    opened = open_store()
    yield opened
    opened.engine.dispose()
