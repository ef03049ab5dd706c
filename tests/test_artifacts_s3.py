"""Artifacts on S3: credentials, servers that die, and files that do not fit into memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import prefect_ml
from prefect_ml.errors import ArtifactError
from prefect_ml.store import artifacts

MEGABYTE = 10**6


def random_file(path: Path, megabytes: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(MEGABYTE))
    return path


def stored_bytes(server: Any) -> int:
    return sum(file.stat().st_size for file in server.folder.glob("*.dat"))


@contextmanager
def in_background(call: Callable[[], Any]) -> Iterator[Future[Any]]:
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(call)


def wait_until_half_is_there(server: Any, future: Future[Any], megabytes: int) -> None:
    before = stored_bytes(server)
    while stored_bytes(server) < before + megabytes * MEGABYTE:
        assert not future.done(), "the upload was over before the server could be killed"
        time.sleep(0.005)


def test_a_run_lives_on_s3_with_credentials_from_the_environment(home: Path, s3: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_ML_ARTIFACT_ROOT", "s3://bucket/by-environment")
    for key, value in s3.environ.items():
        monkeypatch.setenv(key, value)
    check_a_run()


def test_a_run_lives_on_s3_with_options_from_the_settings(home: Path, s3: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_ML_ARTIFACT_ROOT", "s3://bucket/by-settings")
    monkeypatch.setenv("PREFECT_ML_STORAGE_OPTIONS", str(s3.options).replace("'", '"'))
    check_a_run()


def check_a_run() -> None:
    with prefect_ml.start_run() as run:
        prefect_ml.log_text("on S3", "notes.txt")
        logged = prefect_ml.log_model(_model(), "model", example=[[1.0]], requirements=[], register_as="on-s3")
    found = prefect_ml.list_artifacts(run.id)
    assert {"notes.txt", "model/MLmodel"} <= {one.path for one in found}
    assert prefect_ml.get_run(run.id).artifact_uri.startswith("s3://bucket/")
    assert prefect_ml.load_model(logged.uri).predict([[7]]) == [[7]]
    assert prefect_ml.load_model("models:/on-s3/1").digest == logged.digest


def test_who_may_only_read_is_told_at_once(s3: Any, tmp_path: Path):
    file = random_file(tmp_path / "a", 1)
    artifacts.put_file(file, "s3://bucket/denied/a", options=s3.options)
    assert artifacts.fetch("s3://bucket/denied/a", tmp_path / "b", options=s3.reader).read_bytes() == file.read_bytes()
    for options in (s3.reader, {**s3.options, "secret": "not-the-secret"}):
        # With patience without end, only an error that is not tried again comes back.
        with pytest.raises(ArtifactError, match="check its credentials") as refused:
            artifacts.put_file(file, "s3://bucket/denied/b", options=options, patience=1e9)
        assert "secret" not in str(refused.value).replace("secret access", "")
    with pytest.raises(ArtifactError):
        artifacts.put_file(file, "s3://bucket/denied/b", options={"anon": True, **_endpoint(s3)}, patience=1e9)


def test_an_upload_outlives_a_server_that_is_killed_and_comes_back(mortal_s3: Any, tmp_path: Path):
    folder = tmp_path / "out"
    for number in range(3):
        random_file(folder / f"big-{number}", 18)
    for number in range(20):
        random_file(folder / "small" / str(number), 1)
    uri = "s3://bucket/run/out"
    with in_background(lambda: artifacts.put_folder(folder, uri, options=mortal_s3.options, patience=120)) as upload:
        wait_until_half_is_there(mortal_s3, upload, 20)
        mortal_s3.kill()
        mortal_s3.start()
        upload.result()
    assert len(artifacts.list_files(uri, options=mortal_s3.options)) == 23
    with in_background(lambda: artifacts.fetch(uri, tmp_path / "back", options=mortal_s3.options)) as download:
        while not list((tmp_path / "back").glob("big-*")) and not download.done():
            time.sleep(0.005)
        mortal_s3.kill()
        mortal_s3.start()
        download.result()
    for file in (path for path in folder.rglob("*") if path.is_file()):
        assert (tmp_path / "back" / file.relative_to(folder)).read_bytes() == file.read_bytes()


def test_an_upload_to_a_server_that_stays_away_leaves_nothing_to_be_seen(mortal_s3: Any, tmp_path: Path):
    folder = tmp_path / "out"
    for number in range(3):
        random_file(folder / f"big-{number}", 18)
    random_file(folder / "small", 1)
    uri = "s3://bucket/run/out"
    with in_background(lambda: artifacts.put_folder(folder, uri, options=mortal_s3.options, patience=0.5)) as upload:
        wait_until_half_is_there(mortal_s3, upload, 20)
        mortal_s3.kill()
        with pytest.raises(ArtifactError, match="Cannot write s3://bucket/run/out/"):
            upload.result()
    mortal_s3.start()
    assert not artifacts.exists(uri, options=mortal_s3.options)
    assert artifacts.list_files("s3://bucket/run", options=mortal_s3.options) == []
    artifacts.put_folder(folder, uri, options=mortal_s3.options)
    assert len(artifacts.list_files(uri, options=mortal_s3.options)) == 4


def test_a_folder_whose_uploader_is_killed_is_not_there(s3: Any, tmp_path: Path):
    folder = tmp_path / "out"
    for number in range(3):
        random_file(folder / f"big-{number}", 18)
    uri = "s3://bucket/killed/out"
    program = (
        "import sys; from pathlib import Path; from prefect_ml.store import artifacts\n"
        f"artifacts.put_folder(Path(sys.argv[1]), {uri!r}, options={s3.options!r})"
    )
    before = stored_bytes(s3)
    with subprocess.Popen([sys.executable, "-c", program, str(folder)]) as child:
        while stored_bytes(s3) < before + 20 * MEGABYTE:
            assert child.poll() is None, "the upload was over before it could be killed"
            time.sleep(0.005)
        child.kill()
    assert not artifacts.exists(uri, options=s3.options)
    assert artifacts.list_files("s3://bucket/killed", options=s3.options) == []
    artifacts.put_folder(folder, uri, options=s3.options)
    assert len(artifacts.list_files(uri, options=s3.options)) == 3


@pytest.mark.heavy
def test_artifacts_of_2_gb_do_not_pass_through_memory(s3: Any, tmp_path: Path):
    random_file(tmp_path / "big", 2000)
    program = f"""
import resource, sys
from pathlib import Path
from prefect_ml.store import artifacts
options = {s3.options!r}
folder = Path(sys.argv[1])
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
(folder / "tiny").write_bytes(b"x" * 20_000_000)
artifacts.put_file(folder / "tiny", "s3://bucket/heavy/tiny", options=options)
before = peak()
artifacts.put_file(folder / "big", "s3://bucket/heavy/big", options=options)
up = peak() - before
artifacts.fetch("s3://bucket/heavy/big", folder / "back", options=options)
print(up, peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=1800
    )
    up, both = (int(word) for word in done.stdout.split())
    assert (tmp_path / "back").stat().st_size == 2000 * MEGABYTE
    assert up < 200
    assert both < 200


def _endpoint(server: Any) -> dict[str, str]:
    return {"endpoint_url": server.endpoint}


def _model() -> Callable[[Any], Any]:
    return lambda rows: rows
