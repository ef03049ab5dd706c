"""Logged models are values: the same bytes are stored once, never changed, and removed with the last that has them."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

import prefect_ml
from prefect_ml.errors import ArtifactError, IntegrityError
from prefect_ml.settings import load_settings
from prefect_ml.store import Store, artifacts, open_store
from prefect_ml.store.checking import check_store
from prefect_ml.store.copying import copy_store
from prefect_ml.store.deletion import collect_garbage
from prefect_ml.store.models import find_logged_model

both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
ROWS = np.array([[1.0], [2.0]])
DOUBLE = LinearRegression().fit(ROWS, [2.0, 4.0])


def log(model: Any = DOUBLE, **more: Any) -> tuple[str, Any]:
    with prefect_ml.start_run() as run:
        return run.id, prefect_ml.log_model(model, "model", requirements=[], **more)


def folders(store: Store) -> list[Path]:
    return sorted(Path(store.settings.artifact_root, "models").glob("*/*"))


@both_databases
def test_the_same_model_is_stored_once_and_each_run_has_it(store: Store) -> None:
    runs = [log()[0] for _ in range(3)]
    other = log(LinearRegression().fit(ROWS, [3.0, 6.0]))[0]
    with_example = log(example=ROWS)[0]
    assert len(folders(store)) == 3
    assert len({find_logged_model(run, "model").uri for run in (*runs, other, with_example)}) == 3
    for run in (*runs, with_example):
        loaded = prefect_ml.load_model(f"runs:/{run}/model")
        assert (loaded.run_id, loaded.digest) == (run, find_logged_model(run, "model").digest)
        assert loaded.predict(ROWS).tolist() == pytest.approx([2.0, 4.0])
        assert {"model/MLmodel", "model/MANIFEST.json"} <= {one.path for one in prefect_ml.list_artifacts(run)}
        assert prefect_ml.inspect_model(f"runs:/{run}/model").run_id == run
    assert check_store(store=store) == []


@both_databases
def test_a_folder_goes_with_the_last_run_that_has_it(store: Store) -> None:
    (first, _), (second, _), (third, _) = log(), log(), log()
    for run in (first, second):
        prefect_ml.delete_run(run)
        assert collect_garbage(older_than_days=0).runs == (run,)
        assert prefect_ml.load_model(f"runs:/{third}/model").run_id == third
    version = prefect_ml.register_model("double", f"runs:/{third}/model")
    prefect_ml.delete_run(third)
    assert collect_garbage(older_than_days=0).runs == ()
    assert prefect_ml.load_model("models:/double/1").digest == version.digest
    lone = log(LinearRegression().fit(ROWS, [3.0, 6.0]))[0]
    prefect_ml.delete_run(lone)
    assert len(folders(store)) == 2
    collect_garbage(older_than_days=0)
    assert [str(folder) for folder in folders(store)] == [version.uri]


@both_databases
def test_what_many_log_at_once_is_stored_once(store: Store) -> None:
    runs: list[str] = []
    threads = [threading.Thread(target=lambda: runs.append(log()[0])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({find_logged_model(run, "model").uri for run in runs}) == len(folders(store)) == 1
    for run in runs:
        assert prefect_ml.load_model(f"runs:/{run}/model").run_id == run


@pytest.mark.heavy
@both_databases
def test_what_is_logged_while_its_twin_is_removed_is_whole(store: Store) -> None:
    for _ in range(4):
        doomed, found = log()[0], list[str]()
        prefect_ml.delete_run(doomed)
        threads = [
            threading.Thread(target=lambda: collect_garbage(older_than_days=0, store=store)),
            threading.Thread(target=lambda found=found: found.append(log()[0])),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert prefect_ml.load_model(f"runs:/{found[0]}/model").predict(ROWS).tolist() == pytest.approx([2.0, 4.0])
        prefect_ml.delete_run(found[0])
    assert check_store(store=store) == []


def test_a_damaged_folder_is_not_shared(store: Store) -> None:
    first, logged = log()
    file = folders(store)[0] / "requirements.txt"
    file.chmod(0o644)
    file.write_text("other\n")
    second, _ = log()
    third, _ = log()
    with pytest.raises(IntegrityError, match=r"requirements\.txt"):
        prefect_ml.load_model(f"runs:/{first}/model")
    for run in (second, third):
        assert prefect_ml.load_model(f"runs:/{run}/model").digest != logged.digest
    assert len(folders(store)) == 2


def test_the_same_model_is_stored_once_on_s3(home: Path, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in s3.environ.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PREFECT_ML_ARTIFACT_ROOT", "s3://bucket/kept")
    (_, first), (run, second) = log(), log()
    assert first.digest == second.digest
    place = find_logged_model(run, "model").uri
    with pytest.raises(ArtifactError, match="logged model, which does not change"):
        artifacts.put_folder(home, place)
    artifacts.remove(f"{place}/conda.yaml")
    again = log()[1]
    assert again.digest != first.digest
    assert prefect_ml.load_model(again.uri).digest == again.digest


def test_a_logged_model_does_not_change(store: Store, tmp_path: Path) -> None:
    log()
    folder = folders(store)[0]
    files = [path for path in folder.rglob("*") if path.is_file() and ".prefect-ml" not in path.parts]
    assert files
    assert all(path.stat().st_mode & 0o222 == 0 for path in files)
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for write in (
        lambda: artifacts.put_folder(tmp_path, str(folder)),
        lambda: artifacts.add_folder(tmp_path, str(folder)),
        lambda: artifacts.add_folder(tmp_path, f"{folder}/code"),
        lambda: artifacts.put_file(tmp_path / "MLmodel", f"{folder}/MLmodel"),
    ):
        with pytest.raises(ArtifactError, match="logged model, which does not change"):
            write()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_copied_store_has_the_models_and_their_aliases(store: Store, tmp_path: Path) -> None:
    run, _ = log(register_as="double")
    log(register_as="double")
    prefect_ml.set_alias("double", "best", 2)
    root = tmp_path / "copy"
    target = open_store(load_settings(store_url=f"sqlite:///{root}/store.db", artifact_root=f"{root}/artifacts"))
    assert copy_store(store, target).rows["model_aliases"] == 1
    copy_store(store, target)
    for uri in (f"runs:/{run}/model", "models:/double@best"):
        assert prefect_ml.load_model(uri, store=target).predict(ROWS).tolist() == pytest.approx([2.0, 4.0])
    assert len(folders(target)) == 1
    with pytest.raises(ArtifactError, match="does not change"):
        artifacts.put_folder(tmp_path, str(folders(target)[0]))
    assert json.loads((folders(target)[0] / "MANIFEST.json").read_text())["files"]
    target.engine.dispose()
