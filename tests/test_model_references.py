"""What leads to a model, aliases among it, and what a wrong reference is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

import prefect_ml
from prefect_ml.errors import (
    ArtifactError,
    BadReference,
    ModelNotFound,
    RunNotFound,
    UnknownStage,
    UntrustedModel,
    VersionNotFound,
)
from prefect_ml.store import Store

both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
ROWS = np.array([[1.0], [2.0]])


@pytest.fixture(scope="module")
def estimator() -> LinearRegression:
    return LinearRegression().fit(ROWS, [2.0, 4.0])


@pytest.fixture(scope="module")
def saved(estimator: LinearRegression, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model, which no test changes."""
    return prefect_ml.save_model(estimator, tmp_path_factory.mktemp("saved") / "double", requirements=[]).path


@pytest.fixture
def wine(store: Store, estimator: LinearRegression) -> str:
    """Three versions of a model, of which the second is in Production and the third has an alias; the run's id."""
    with prefect_ml.start_run() as run:
        for _ in range(3):
            prefect_ml.log_model(estimator, "model", requirements=[], register_as="wine")
    prefect_ml.promote("wine", 2, to="Production")
    prefect_ml.set_alias("wine", "champion", 3, reason="the best")
    return run.id


@both_databases
def test_every_reference_leads_to_the_model(wine: str) -> None:
    uris = [f"runs:/{wine}/model", "models:/wine/1", "models:/wine/Production", "models:/wine/production"]
    for uri in [*uris, "models:/wine@champion", "models:/wine/@champion", "models:/wine/latest"]:
        assert prefect_ml.load_model(uri).predict(ROWS).tolist() == pytest.approx([2.0, 4.0])
        assert prefect_ml.load_model(uri).run_id == wine
    assert prefect_ml.get_model_version("wine", "@champion").version == 3


@both_databases
def test_a_wrong_reference_lists_what_exists(wine: str) -> None:
    there = re.escape("it has the versions 3, 2, 1 (Production is 2, @champion is 3)")
    for uri, error, said in [
        ("models:/wine/7", VersionNotFound, f"no version 7; {there}"),
        ("models:/wine/99999999999999999999", VersionNotFound, there),
        ("models:/wine@challenger", VersionNotFound, f"no alias 'challenger'; {there}"),
        ("models:/wine/Staging", VersionNotFound, f"no version in stage Staging; {there}"),
        ("models:/wine/Produktion", UnknownStage, "did you mean 'Production'"),
        ("models:/wine/champion", UnknownStage, "did you mean '@champion'"),
        ("models:/Wine/1", ModelNotFound, "did you mean 'wine'"),
        ("models:/wine", BadReference, there),
        ("models:/beer", ModelNotFound, "models list"),
        (f"runs:/{wine}/modle", ArtifactError, "no model 'modle'; it has logged 'model'"),
        (f"runs:/{wine}", BadReference, f"runs:/{wine}/model"),
        ("runs:/nowhere/model", RunNotFound, "nowhere"),
        ("model:/wine/1", BadReference, "names no model"),
        ("models:wine/1", BadReference, "names no model"),
    ]:
        with pytest.raises(error, match=said) as caught:
            prefect_ml.load_model(uri)
        assert "\n" not in str(caught.value)


def test_a_wrong_path_names_what_is_close(saved: Path, tmp_path: Path, home: Path) -> None:
    with pytest.raises(ArtifactError, match=rf"nothing at .* \(did you mean '{saved}'\?\)"):
        prefect_ml.load_model(saved.with_name("doubel"))
    with pytest.raises(ArtifactError, match="no MLmodel file; there are models in it: double"):
        prefect_ml.load_model(saved.parent)
    with pytest.raises(ArtifactError, match="no MLmodel file; check the path"):
        prefect_ml.load_model(tmp_path)
    with pytest.raises(ArtifactError, match="no model folder"):
        prefect_ml.load_model(saved / "MLmodel")


def packed(folder: Path, to: Path, top: str) -> Path:
    if to.suffix == ".zip":
        with zipfile.ZipFile(to, "w") as archive:
            for path in folder.rglob("*"):
                archive.write(path, Path(top) / path.relative_to(folder))
    else:
        with tarfile.open(to, "w:gz") as archive:
            archive.add(folder, top or ".")
    return to


@pytest.mark.parametrize("name", ["m.zip", "m.tar.gz", "m.tgz"])
@pytest.mark.parametrize("top", ["", "folder"])
def test_an_archive_of_a_model_is_one(saved: Path, tmp_path: Path, home: Path, name: str, top: str) -> None:
    archive = packed(saved, tmp_path / name, top)
    for uri in (archive, str(archive), f"file://{archive}"):
        loaded = prefect_ml.load_model(uri)
        assert loaded.predict(ROWS).tolist() == pytest.approx([2.0, 4.0])
    assert prefect_ml.inspect_model(archive).digest == loaded.digest
    assert prefect_ml.load_model(f"file://{saved}").digest == loaded.digest


def test_a_model_and_its_archive_are_loaded_from_s3(
    saved: Path, tmp_path: Path, home: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in s3.environ.items():
        monkeypatch.setenv(key, value)
    from prefect_ml.store import artifacts

    artifacts.put_folder(saved, "s3://bucket/references/double")
    artifacts.put_file(packed(saved, tmp_path / "m.zip", ""), "s3://bucket/references/m.zip")
    for uri in ("s3://bucket/references/double", "s3://bucket/references/m.zip"):
        assert prefect_ml.load_model(uri).predict(ROWS).tolist() == pytest.approx([2.0, 4.0])
    with pytest.raises(ArtifactError, match="nothing at"):
        prefect_ml.load_model("s3://bucket/references/doubel")


@both_databases
def test_an_alias_leads_to_one_version_and_says_so_in_the_history(wine: str) -> None:
    moved = prefect_ml.set_alias("wine", "champion", 1)
    again = prefect_ml.set_alias("wine", "@champion", 1)
    prefect_ml.set_alias("wine", "best.of-all", 1)
    assert moved == again
    assert (moved.kind, moved.version, moved.evidence) == ("alias-set", 1, {"alias": "champion", "previous": 3})
    assert prefect_ml.get_model_version("wine", 1).aliases == ("best.of-all", "champion")
    assert [one.aliases for one in prefect_ml.search_model_versions(name="wine")] == [
        (),
        (),
        ("best.of-all", "champion"),
    ]
    gone = prefect_ml.delete_alias("wine", "champion", reason="no more")
    assert (gone.kind, gone.version, gone.reason, gone.evidence) == (
        "alias-deleted",
        1,
        "no more",
        {"alias": "champion"},
    )
    with pytest.raises(VersionNotFound, match="no alias 'champion'"):
        prefect_ml.delete_alias("wine", "champion")
    kinds = [event.kind for event in prefect_ml.model_history("wine")]
    assert kinds == ["registered"] * 3 + ["promoted", *["alias-set"] * 3, "alias-deleted"]


@both_databases
def test_what_can_be_no_alias_is_refused_and_changes_nothing(wine: str) -> None:
    for alias in ("", "3", "v3", "latest", "a/b", "a@b", "a b", "x" * 101):
        with pytest.raises(BadReference, match="cannot be an alias"):
            prefect_ml.set_alias("wine", alias, 1)
    with pytest.raises(VersionNotFound, match="no version 9"):
        prefect_ml.set_alias("wine", "champion", 9)
    with pytest.raises(ModelNotFound, match="did you mean 'wine'"):
        prefect_ml.set_alias("wines", "champion", 1)
    assert prefect_ml.get_model_version("wine", "@champion").version == 3
    assert len(prefect_ml.model_history("wine")) == 5


@both_databases
def test_an_alias_that_many_move_at_once_has_a_history_without_gaps(wine: str) -> None:
    threads = [threading.Thread(target=prefect_ml.set_alias, args=("wine", "hot", n % 3 + 1)) for n in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moves = [event for event in prefect_ml.model_history("wine") if event.evidence.get("alias") == "hot"]
    assert [event.evidence["previous"] for event in moves] == [None, *(event.version for event in moves[:-1])]
    assert prefect_ml.get_model_version("wine", "@hot").version == moves[-1].version


def test_the_command_line_inspects_and_names(wine: str) -> None:
    def run(*words: str) -> Any:
        call = [sys.executable, "-m", "prefect_ml.cli", "models", *words, "--json"]
        return json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)

    assert run("alias", "set", "wine", "old", "1")["kind"] == "alias-set"
    assert run("show", "wine", "@old")["aliases"] == ["old"]
    seen = run("inspect", "models:/wine@old")
    assert (seen["flavor"], seen["run_id"], seen["vouched"], seen["executes"]) == ("sklearn", wine, True, [])
    assert seen["size"] == sum(seen["files"].values())
    assert run("alias", "delete", "wine", "old")["kind"] == "alias-deleted"


def test_inspecting_loads_nothing_and_says_what_would_run(tmp_path: Path, home: Path) -> None:
    (tmp_path / "helper.py").write_text("raise SystemExit('loaded')\n")
    folder = prefect_ml.save_model(
        lambda rows: rows, tmp_path / "m", requirements=["six==1"], code=[tmp_path / "helper.py"]
    )
    seen = prefect_ml.inspect_model(folder.path)
    assert seen.executes == ("the pickle python_model.pkl", "the module code/helper.py")
    assert (seen.flavor, seen.vouched, seen.requirements) == ("python_function", False, ("six==1",))
    assert seen.python_version == ".".join(map(str, sys.version_info[:3]))
    with pytest.raises(UntrustedModel, match=r"python_model\.pkl and the module code/helper\.py"):
        prefect_ml.load_model(folder.path)


def test_of_a_model_elsewhere_only_its_description_is_fetched(
    saved: Path, home: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in s3.environ.items():
        monkeypatch.setenv(key, value)
    from prefect_ml.store import artifacts

    uri = "s3://bucket/inspected/double"
    artifacts.put_folder(saved, uri)
    whole = prefect_ml.inspect_model(saved)
    artifacts.remove(f"{uri}/conda.yaml")
    left = prefect_ml.inspect_model(uri)
    assert (left.digest, left.flavor, left.created) == (whole.digest, whole.flavor, whole.created)
    assert set(whole.files) - set(left.files) == {"conda.yaml"}
    assert not (home / "cache").exists()
