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
from prefect_ml.errors import SettingsError
from prefect_ml.settings import load_settings, storage_options


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


_AS_THE_FORM_DOES = """
import sys
import httpx
api, url, options = sys.argv[1], sys.argv[2], __import__("json").loads(sys.argv[3])
kind = httpx.get(f"{api}/block_types/slug/artifact-store").json()
(schema, *_) = httpx.post(
    f"{api}/block_schemas/filter", json={"block_schemas": {"block_type_id": {"any_": [kind["id"]]}}}
).json()
document = {"name": "by-form", "block_type_id": kind["id"], "block_schema_id": schema["id"],
            "data": {"url": url, "credentials": options}}
httpx.post(f"{api}/block_documents/", json=document).raise_for_status()
"""
_BY_THE_BLOCK = """
import sys
from prefect_ml import list_artifacts, log_text, start_run
from prefect_ml.blocks import ArtifactStore
from prefect_ml.settings import load_settings
store = ArtifactStore.load("by-form")
before = ArtifactStore.load("default")
ArtifactStore(url=store.url, credentials=store.credentials).save("default", overwrite=True)
try:
    with start_run() as run:
        log_text("kept by the block", "notes.txt")
    print(list_artifacts(run.id)[0].path, store.list_files() != [], store)
    print(repr(load_settings()), repr(store))
finally:
    before.save("default", overwrite=True)
"""


def test_the_credentials_of_the_default_block_reach_s3(laptop, s3, tmp_path):
    url = "s3://bucket/by-block"
    words = [sys.executable, "-c", _AS_THE_FORM_DOES, laptop.api_url, url, json.dumps(s3.options)]
    subprocess.run(words, check=True, timeout=60)
    environ = {
        **laptop.environ,
        "PREFECT_API_URL": laptop.api_url,
        "PREFECT_ML_HOME": str(tmp_path),
        "PREFECT_ML_STORE_URL": f"sqlite:///{tmp_path}/store.db",
        "PREFECT_ML_ARTIFACT_ROOT": f"{url}/below",
    }
    done = subprocess.run(
        [sys.executable, "-c", _BY_THE_BLOCK], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("notes.txt True")
    shown = httpx.post(f"{laptop.api_url}/block_documents/filter", json={}).text
    for place in (done.stdout, done.stderr, shown):
        assert s3.secret not in place
        assert s3.key not in place


@pytest.mark.parametrize(
    ("root", "uri", "given"),
    [
        ("s3://bucket/ml", "s3://bucket/ml/runs/1", True),
        ("s3://bucket/ml/", "s3://bucket/ml", True),
        ("s3://bucket/ml", "s3://bucket/ml-of-others/runs/1", False),
        ("s3://bucket/ml", "s3://other/ml", False),
    ],
)
@pytest.mark.parametrize("by_block", [True, False])
def test_options_are_given_to_nothing_outside_the_root(tmp_path, root: str, uri: str, given: bool, by_block: bool):
    options = {"key": "k", "client_kwargs": {"region_name": "x"}}
    offered = {"artifact_root": root, "storage_options": json.dumps(options)}
    settings = load_settings(
        environ={},
        cwd=tmp_path,
        block=dict,
        artifact_root="s3://else" if by_block else root,
        storage_options=None if by_block else json.dumps(options),
    )
    found = storage_options(uri, settings=settings, block=lambda: offered if by_block else {})
    assert found == (options if given else {})


def test_options_may_stand_in_pyproject_and_are_never_shown(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.prefect_ml]\nartifact_root = "s3://b/c"\n'
        '[tool.prefect_ml.storage_options]\nendpoint_url = "http://one"\nsecret = "hush"\n'
    )
    settings = load_settings(environ={}, cwd=tmp_path, block=dict)
    assert storage_options("s3://b/c/d", settings=settings)["endpoint_url"] == "http://one"
    assert "hush" not in repr(settings)
    broken = load_settings(environ={}, cwd=tmp_path, block=dict, storage_options="{hush")
    with pytest.raises(SettingsError, match="JSON object") as refused:
        storage_options("s3://b/c/d", settings=broken)
    assert "hush" not in str(refused.value)
