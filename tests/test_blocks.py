"""The blocks that a team configures once, and the settings that come from them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points

import httpx
import pytest
from prefect.testing.standard_test_suites import BlockStandardTestSuite

from prefect_ml.blocks import ArtifactStore, ProcessServer, TrackingStore


@pytest.mark.parametrize("block", [TrackingStore, ArtifactStore, ProcessServer])
class TestConventions(BlockStandardTestSuite):
    @pytest.fixture
    def block(self):
        """Named by the parametrization."""

    test_has_a_documentation_url = None  # nothing is published yet
    test_has_a_valid_image = None  # a logo would have to be fetched from somewhere


def test_prefect_finds_the_blocks_without_importing_anything_heavy():
    (found,) = entry_points(group="prefect.collections", name="prefect_ml")
    code = (
        "import sys, prefect.blocks.core; before = set(sys.modules);"
        f"import {found.value}; print(*{{m.partition('.')[0] for m in set(sys.modules) - before}})"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"sqlalchemy", "bentoml", "pandas", "numpy", "fsspec"} & set(answer.stdout.split())


def test_the_server_keeps_the_store_url_secret(laptop):
    documents = httpx.post(f"{laptop.api_url}/block_documents/filter", json={}).json()
    ours = {one["block_type"]["slug"]: one for one in documents if one["name"] == "default"}
    assert ours["artifact-store"]["data"]["url"] == str(laptop.home / "artifacts")
    assert ours["tracking-store"]["data"]["artifacts"] == str(laptop.home / "artifacts")
    assert "store.db" not in json.dumps(ours["tracking-store"])


def test_every_block_type_is_in_the_catalogue(laptop):
    types = httpx.post(f"{laptop.api_url}/block_types/filter", json={"limit": 200}).json()
    assert {"tracking-store", "artifact-store", "process-server"} <= {one["slug"] for one in types}


@pytest.mark.parametrize(
    ("first", "asked"),
    [("import prefect", True), ("", False)],
    ids=["where Prefect is imported", "where it is not"],
)
def test_settings_come_from_the_default_block(laptop, tmp_path, first: str, asked: bool):
    code = f"{first}\nfrom prefect_ml.settings import load_settings\nprint(load_settings().store_url)"
    environ = {**laptop.environ, "PREFECT_API_URL": laptop.api_url, "PREFECT_ML_HOME": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    home = laptop.home if asked else tmp_path
    assert answer.stdout.strip() == f"sqlite:///{home / 'store.db'}"
