"""The cache of models: one download for all processes, verified once, bounded; and loading models where they lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

import prefect_ml
from prefect_ml.errors import ArtifactError, IntegrityError
from prefect_ml.serving.models.cache import ModelCache, clear_cache
from prefect_ml.settings import load_settings
from prefect_ml.store import artifacts

ROWS = np.array([[1.0], [2.0]])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = LinearRegression().fit(ROWS, [2.0, 4.0])
    return prefect_ml.save_model(model, tmp_path_factory.mktemp("saved") / "double", requirements=[]).path


@pytest.fixture
def on_s3(home: Path, s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The artifact root of a store on S3."""
    for key, value in s3.environ.items():
        monkeypatch.setenv(key, value)
    root = f"s3://bucket/cache-{tmp_path.name}"
    monkeypatch.setenv("PREFECT_ML_ARTIFACT_ROOT", root)
    return root


def logged(name: str = "model", factor: float = 2.0) -> Any:
    with prefect_ml.start_run():
        return prefect_ml.log_model(LinearRegression().fit(ROWS, factor * ROWS[:, 0]), name, requirements=[])


def entries(home: Path) -> set[str]:
    folder = home / "cache" / "models"
    return {path.name for path in folder.iterdir() if path.is_dir()} - {"stamps"} if folder.is_dir() else set()


def test_a_model_is_fetched_once_and_again_only_when_its_bytes_have_changed(
    on_s3: str, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = logged()
    first = prefect_ml.load_model(model.uri)
    assert entries(home) == {first.digest}
    cached = home / "cache" / "models" / first.digest
    assert all(path.stat().st_mode & 0o222 == 0 for path in cached.rglob("*") if path.is_file())
    (cached / "MLmodel").chmod(0o644)
    os.utime(cached / "MLmodel")  # another time and the same bytes
    artifacts.remove(f"{on_s3}/models")
    again = prefect_ml.load_model(model.uri)
    assert again.predict(ROWS).tolist() == pytest.approx([2.0, 4.0])
    (cached / "MLmodel").write_text("flavors: {}\n")
    with pytest.raises(ArtifactError, match="nothing at"):
        prefect_ml.load_model(model.uri)
    assert "the file 'MLmodel' is not the one that was saved; fetching it anew" in caplog.text


def test_what_has_changed_in_the_cache_is_fetched_anew(on_s3: str, home: Path) -> None:
    model = logged()
    held = prefect_ml.load_model(model.uri)
    cached = home / "cache" / "models" / held.digest / "MLmodel"
    before = cached.stat()
    text = cached.read_text()
    cached.chmod(0o644)
    cached.write_text(text.replace("1", "2", 1))
    os.utime(cached, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time
    assert prefect_ml.load_model(model.uri).digest == held.digest
    assert cached.read_text() == text
    assert entries(home) == {held.digest}


def test_what_is_changed_where_it_is_stored_is_refused_by_name(on_s3: str, home: Path) -> None:
    model = logged()
    place = prefect_ml.inspect_model(model.uri).place
    files, path = artifacts.files.open_files(f"{place}/requirements.txt")
    files.write(path, b"other\n")
    with pytest.raises(IntegrityError, match=r"requirements\.txt"):
        prefect_ml.load_model(model.uri)
    assert entries(home) == set()


TAKE = """
import sys, time
from pathlib import Path
from prefect_ml.settings import load_settings
from prefect_ml.serving.models.cache import ModelCache
from prefect_ml.store.artifacts import fetch
source, digest, log, seconds = sys.argv[1:]
def bring(to):
    with open(log, "a") as file:
        print("fetching", file=file, flush=True)
    fetch(source, to)
    (to / "MANIFEST.json").rename(to / "late")
    time.sleep(float(seconds))
    (to / "late").rename(to / "MANIFEST.json")
held = ModelCache(load_settings()).take(digest, bring, name="m")
print(sorted(path.name for path in held.folder.iterdir()), flush=True)
held.release()
"""


@pytest.fixture
def take(saved: Path, home: Path, tmp_path: Path) -> Iterator[Callable[[float], subprocess.Popen[str]]]:
    """Start a process that takes the saved model from the cache, and takes its time to fetch it."""
    digest, started = prefect_ml.inspect_model(saved).digest or "", list[subprocess.Popen[str]]()

    def start(seconds: float) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", TAKE, str(saved), digest, str(tmp_path / "log"), str(seconds)]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_ten_processes_fetch_a_model_once(take: Callable[[float], Any], saved: Path, tmp_path: Path) -> None:
    names = str(sorted(path.name for path in saved.iterdir()))
    answers = [process.communicate(timeout=120) for process in [take(0.5) for _ in range(10)]]
    assert [out.strip() for out, _ in answers] == [names] * 10, answers
    assert (tmp_path / "log").read_text().splitlines() == ["fetching"]


def test_a_process_that_is_killed_while_it_fetches_leaves_nothing_half(
    take: Callable[[float], Any], saved: Path, home: Path, tmp_path: Path
) -> None:
    killed = take(600)
    while not list(home.glob("cache/models/arriving-*/model/late")):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    out, err = take(0).communicate(timeout=60)
    assert "MANIFEST.json" in out, err
    assert entries(home) == {prefect_ml.inspect_model(saved).digest}
    assert (tmp_path / "log").read_text().splitlines() == ["fetching"] * 2


def test_the_least_recently_used_go_first_and_none_that_is_loaded(
    on_s3: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [logged(f"m{n}", n) for n in range(4)]
    loaded = {n: prefect_ml.load_model(models[n].uri) for n in range(3)}
    size = sum(prefect_ml.inspect_model(models[0].uri).files.values())
    monkeypatch.setenv("PREFECT_ML_MODEL_CACHE_BYTES", str(3 * size + size // 2))
    del loaded[0], loaded[1]
    prefect_ml.load_model(models[0].uri)  # so that the second is the oldest
    loaded[3] = prefect_ml.load_model(models[3].uri)
    assert entries(home) == {models[n].digest for n in (0, 2, 3)}
    assert clear_cache(load_settings(), dry_run=True).models == (models[0].digest,)
    assert clear_cache(load_settings()).models == (models[0].digest,)
    assert entries(home) == {models[2].digest, models[3].digest}
    assert loaded[2].predict(ROWS).tolist() == pytest.approx([2.0, 4.0])
    loaded.clear()
    call = [sys.executable, "-m", "prefect_ml.cli", "store", "gc", "--json"]
    told = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
    assert set(told["cache"]["models"]) == {models[2].digest, models[3].digest}
    assert entries(home) == set()
    assert [path.name for path in (home / "cache" / "models").iterdir()] == []


OPENED = """
import sys
opened = []
sys.addaudithook(lambda event, words: opened.append(str(words[0])) if event == "open" else None)
from pathlib import Path
from prefect_ml.settings import load_settings
from prefect_ml.serving.models.cache import ModelCache
folder = Path(sys.argv[1])
ModelCache(load_settings()).verify(folder)
print(sum(str(folder) in name for name in opened))
"""


def test_a_local_model_is_loaded_in_place_and_read_once(home: Path) -> None:
    model = logged()
    prefect_ml.load_model(model.uri)
    assert entries(home) == set()
    folder = prefect_ml.inspect_model(model.uri).place
    ask = [sys.executable, "-c", OPENED, folder]
    assert subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip() == "0"
    os.utime(Path(folder) / "MLmodel")
    counts = [subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip() for _ in range(2)]
    assert counts[0] != "0"
    assert counts[1] == "0"


def test_a_local_model_whose_bytes_change_is_refused_although_its_time_is_set_back(home: Path) -> None:
    model = logged()
    prefect_ml.load_model(model.uri)
    file = Path(prefect_ml.inspect_model(model.uri).place) / "conda.yaml"
    before, text = file.stat(), file.read_text()
    file.chmod(0o644)
    file.write_text(text.replace("model", "mudel", 1))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(IntegrityError, match=r"conda\.yaml"):
        prefect_ml.load_model(model.uri)


def test_a_home_that_cannot_be_written_is_told(saved: Path, tmp_path: Path, home: Path) -> None:
    home.mkdir()
    (home / "cache").touch()
    with pytest.raises(ArtifactError, match="PREFECT_ML_HOME"):
        ModelCache(load_settings()).take("0" * 64, lambda _: None, name="m")
    assert prefect_ml.load_model(saved).predict(ROWS).tolist() == pytest.approx([2.0, 4.0])


def test_loading_writes_no_bytecode_where_the_model_lies(tmp_path: Path, home: Path) -> None:
    source = tmp_path / "shapes_in_cache.py"
    source.write_text("def area(rows):\n    return rows[:, 0] * 2\n")

    def predict(rows: np.ndarray) -> np.ndarray:
        import shapes_in_cache

        return shapes_in_cache.area(rows)

    with prefect_ml.start_run():
        model = prefect_ml.log_model(predict, "area", code=[source], requirements=[])
    for _ in range(2):
        assert prefect_ml.load_model(model.uri).predict(np.ones((1, 1))).tolist() == [2.0]
    assert not [*home.rglob("*.pyc"), *home.rglob("__pycache__")]
