"""Experiments, deleting and restoring, garbage, and exports."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from prefect_ml import (
    count_runs,
    create_experiment,
    delete_experiment,
    delete_run,
    export_runs,
    get_run,
    list_experiments,
    log_metric,
    log_params,
    log_text,
    move_runs,
    rename_experiment,
    restore_experiment,
    restore_run,
    search_runs,
    set_tag,
    start_run,
)
from prefect_ml.cli import cli
from prefect_ml.errors import (
    BadName,
    ExperimentExists,
    ExperimentNotFound,
    FilterError,
    RunNotFound,
    SettingsError,
    TrackingError,
)
from prefect_ml.store import Store, schema
from prefect_ml.store.deletion import collect_garbage
from prefect_ml.store.models import record_logged_model
from prefect_ml.store.writers import flush_pending
from prefect_ml.tasks.capture.background import background

both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


def names(**options: Any) -> list[str]:
    return [run.name for run in search_runs(order_by=["name"], **options)]


def run_named(name: str, experiment: str = "wine") -> str:
    with start_run(experiment=experiment, name=name) as run:
        log_params({"alpha": 1})
        log_metric("rmse", 0.5)
        set_tag("team", "red")
        log_text("hello", "note.txt")
    return run.id


@both_databases
def test_experiments_are_made_renamed_deleted_and_restored(store: Store) -> None:
    made = create_experiment("wine")
    assert (made.name, made.runs, made.deleted_at) == ("wine", 0, None)
    with pytest.raises(ExperimentExists):
        create_experiment("wine")
    kept, gone = run_named("kept"), run_named("gone")
    delete_run(gone)
    assert [(one.name, one.runs) for one in list_experiments()] == [("wine", 1)]
    delete_experiment("wine")
    assert (names(), list_experiments(), names(deleted=True)) == ([], [], ["gone", "kept"])
    with pytest.raises(ExperimentNotFound):
        search_runs(experiments=["wine"])
    other = run_named("other")
    assert names(experiments=["wine"]) == ["other"], "the name was free"
    with pytest.raises(ExperimentExists):
        restore_experiment("wine")
    rename_experiment("wine", "new wine")
    restore_experiment("wine")
    assert (names(), get_run(kept).experiment, get_run(other).experiment) == (["kept", "other"], "wine", "new wine")
    with pytest.raises(ExperimentExists):
        rename_experiment("wine", "new wine")
    for wrong in (rename_experiment, lambda name, _: delete_experiment(name), lambda name, _: restore_experiment(name)):
        with pytest.raises(ExperimentNotFound):
            wrong("nowhere", "x")


@both_databases
def test_names_that_look_the_same_are_the_same(store: Store) -> None:
    whole, apart = "caf\u00e9", "cafe\u0301"
    assert create_experiment(apart).name == whole
    with pytest.raises(ExperimentExists):
        create_experiment(whole)
    run_named("a", apart)
    run_named("b", whole)
    assert [(one.name, one.runs) for one in list_experiments()] == [(whole, 2)]
    for name in (whole, apart):
        assert names(experiments=[name]) == ["a", "b"]
        assert names(filter=f"experiment = '{name}'") == names(filter=f"experiment like '%{name[3:]}'") == ["a", "b"]
        assert names(filter=f"experiment != '{name}'") == names(filter=f"experiment not in ('x', '{name}')") == []
        delete_experiment(name)
        restore_experiment(name)
    rename_experiment(apart, apart * 2)
    assert get_run(search_runs()[0].id).experiment == whole * 2


@pytest.mark.parametrize(
    "name",
    ["", "  ", " wine", "wine\t", "two\nlines", "two\u2028lines", "bell\x07", "\x85", "half\ud800", "x" * 501, 5],
)
def test_a_name_that_no_experiment_can_have_is_one_sentence(store: Store, name: Any) -> None:
    create_experiment("y" * 500)
    for use in (create_experiment, lambda to: rename_experiment("y" * 500, to), lambda to: run_named("a", to)):
        if name or use is create_experiment:  # a run without a name for its experiment goes into the usual one
            with pytest.raises(BadName, match="cannot be the name of an experiment; use one line of at most 500 char"):
                use(name)
    assert [(one.name, one.runs) for one in list_experiments()] == [("y" * 500, 0)]


@both_databases
def test_runs_move_all_or_none(store: Store) -> None:
    first, second = run_named("a"), run_named("b")
    create_experiment("beer")
    with pytest.raises(ExperimentNotFound):
        move_runs([first], to="nowhere")
    with pytest.raises(RunNotFound):
        move_runs([first, "nobody"], to="beer")
    assert names(experiments=["beer"]) == []
    assert move_runs([first, second, first], to="beer") == 2
    assert move_runs([first], to="beer") == 0
    assert names(experiments=["beer"]) == ["a", "b"]


@both_databases
def test_a_run_is_deleted_with_those_below_it_and_restored_with_them(store: Store) -> None:
    with start_run(name="top") as top:
        with start_run(name="left") as left, start_run(name="leaf"):
            pass
        with start_run(name="right") as right:
            pass
        with pytest.raises(TrackingError, match="is running"):
            delete_run(top.id)
    assert delete_run(right.id) == 1
    assert delete_run(top.id) == 3
    assert delete_run(top.id) == 0
    assert names() == []
    assert names(deleted=True) == ["leaf", "left", "right", "top"]
    assert count_runs(deleted=True) == 4
    assert get_run(left.id).name == "left", "what is deleted can still be looked at"
    assert restore_run(top.id) == 3
    assert restore_run(top.id) == 0
    assert names() == ["leaf", "left", "top"]
    for wrong in (delete_run, restore_run):
        with pytest.raises(RunNotFound):
            wrong("nobody")


def rows(store: Store) -> dict[str, int]:
    with store.read() as connection:
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in schema.metadata.sorted_tables
        }


def age(store: Store, days: int) -> None:
    """Let all that is deleted have been deleted for so many days."""
    with store.write() as connection:
        for table in ("runs", "experiments"):
            connection.execute(sa.text(f"UPDATE {table} SET deleted_at = deleted_at - {days * 86_400_000}"))


@both_databases
def test_garbage_is_what_was_deleted_long_ago(store: Store) -> None:
    before = rows(store)
    living = run_named("living", "beer")
    alone = rows(store)
    gone, old = run_named("gone"), run_named("old", "older")
    with start_run(name="top", experiment="beer") as top, start_run(name="below") as below:
        pass
    folder = Path(get_run(gone).artifact_uri)
    shared = Path(store.settings.artifact_root) / "models" / "shared"
    own = Path(store.settings.artifact_root) / "models" / "own"
    for place, runs in ((shared, (gone, living)), (own, (gone,))):
        place.mkdir(parents=True)
        for run_id in runs:
            record_logged_model(run_id, 1, place.name, uri=str(place), digest=place.name, flavor="f", store=store)
    delete_run(gone)
    delete_run(top.id)
    restore_run(below.id)
    delete_experiment("older")
    assert collect_garbage().runs == ()
    age(store, 31)
    planned = collect_garbage(dry_run=True)
    assert (set(planned.runs), planned.experiments) == ({gone, old}, ("older",))
    assert planned.kept == {top.id: "a run below it stays"}
    assert {str(folder.parent), str(own)} <= set(planned.artifacts)
    assert str(shared) not in planned.artifacts
    assert folder.exists()
    assert get_run(gone).name == "gone"
    assert collect_garbage() == planned
    assert (folder.parent.exists(), own.exists(), shared.exists()) == (False, False, True)
    with pytest.raises(RunNotFound):
        get_run(gone)
    assert collect_garbage(older_than_days=0).runs == ()
    restore_run(top.id)
    delete_run(top.id)
    age(store, 31)
    collect_garbage()
    after = rows(store)
    assert {**after, "names": 0} == {**alone, "names": 0, "logged_models": 1, "experiments": after["experiments"]}
    assert before["runs"] == 0
    run_named("again", "older")
    assert names() == ["again", "living"]


@pytest.mark.parametrize("days", [-1, math.nan, math.inf, 1e300])
def test_an_age_that_is_none_removes_nothing(store: Store, days: float) -> None:
    delete_run(run_named("gone"))
    with pytest.raises(SettingsError, match="age in days"):
        collect_garbage(older_than_days=days)
    assert rows(store)["runs"] == 1


@both_databases
def test_local_changes_go_with_the_last_run_that_started_from_them(store: Store) -> None:
    first, second = run_named("first"), run_named("second")
    patch = Path(store.settings.artifact_root) / "code" / "d.diff"
    patch.parent.mkdir(parents=True, exist_ok=True)
    patch.write_text("the changes")
    assert background.drain(10)  # what is found out about these runs must not come later
    flush_pending(store)
    with store.write() as connection:
        connection.execute(sa.update(schema.runs).values(source={"changes": str(patch)}))
    for run_id, stays in ((first, True), (second, False)):
        delete_run(run_id)
        age(store, 31)
        assert (str(patch) in collect_garbage().artifacts) is not stays
        assert patch.exists() is stays


@both_databases
def test_a_run_that_gave_a_registered_model_stays(store: Store) -> None:
    run_id = run_named("trained")
    with store.write() as connection:
        connection.execute(
            sa.insert(schema.registered_models).values(
                name="wine", description="", created_at=0, created_by="me", versions=1
            )
        )
        connection.execute(
            sa.insert(schema.model_versions).values(
                name="wine", version=1, status="Ready", run_id=run_id, source="", uri="u", digest="d", description="",
                tags={}, created_at=0, created_by="me",
            )
        )  # fmt: skip
    delete_run(run_id)
    age(store, 31)
    found = collect_garbage()
    assert (found.runs, found.kept) == ((), {run_id: "version 1 of model 'wine' comes from it"})
    assert Path(get_run(run_id).artifact_uri, "note.txt").exists()


KILLED = """
import os, sys
import prefect_ml.store.deletion as deletion
real = deletion.remove
def remove(uri):
    real(uri)
    os._exit(9)
deletion.remove = remove
deletion.collect_garbage()
"""


@both_databases
def test_a_collection_that_was_killed_is_finished_by_the_next(store: Store) -> None:
    gone = run_named("gone")
    delete_run(gone)
    age(store, 31)
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == 9
    with pytest.raises(TrackingError, match="being removed"):
        restore_run(gone)
    assert collect_garbage().runs == (gone,)
    assert (rows(store)["runs"], rows(store)["params"]) == (0, 0)


def test_exports_hold_every_column_and_replace_what_was_there(store: Store, tmp_path: Path) -> None:
    run_named("a")
    with start_run(experiment="beer", name='b, "quoted"\n') as run:
        log_params({"odd`name": "=1+1"})
        log_metric("rmse", math.nan)
    table, parquet = tmp_path / "runs.csv", tmp_path / "runs.parquet"
    table.write_text("old")
    assert export_runs(table, order_by=["name"]) == 2
    with table.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["params.alpha"], first["params.odd`name"], first["tags.team"]) == ("1", "", "red")
    assert (second["name"], second["params.odd`name"], second["metrics.rmse"]) == (run.name, "=1+1", "NaN")
    assert export_runs(parquet, "params.alpha = 1", columns=["id", "metrics.rmse", "started_at"]) == 1
    import pyarrow.parquet as pq

    read = pq.read_table(parquet)
    assert read.column_names == ["id", "metrics.rmse", "started_at"]
    assert read["metrics.rmse"].to_pylist() == [0.5]
    assert export_runs(parquet, "name = 'nobody'") == 0
    assert pq.read_table(parquet).num_rows == 0
    assert export_runs(parquet) == 2
    assert pq.read_table(parquet)["metrics.rmse"].to_pylist()[1] == 0.5
    for wrong, error in (((tmp_path / "x.xlsx",), TrackingError), ((table, "name ="), FilterError),
                         ((tmp_path / "no" / "x.csv",), TrackingError)):  # fmt: skip
        with pytest.raises(error):
            export_runs(*wrong)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["runs.csv", "runs.parquet"]


@pytest.fixture
def call(store: Store) -> Callable[..., str]:
    def answer(*words: str) -> str:
        done = CliRunner().invoke(cli, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return answer


def test_the_command_line_does_the_same(call: Callable[..., str], store: Store, tmp_path: Path) -> None:
    run_id = run_named("a")
    assert call("experiments", "create", "beer") == "Created experiment 'beer'.\n"
    assert call("runs", "move", run_id[:13], "--to", "beer") == "Moved 1 run.\n"
    assert [(one["name"], one["runs"]) for one in json.loads(call("experiments", "list", "--json"))] == [
        ("beer", 1), ("wine", 0)
    ]  # fmt: skip
    assert "beer" in call("experiments", "list")
    call("experiments", "rename", "beer", "ale")
    call("experiments", "delete", "ale")
    assert "ale" in call("experiments", "list", "--deleted")
    call("experiments", "restore", "ale")
    assert call("runs", "export", str(tmp_path / "x.csv"), "name = 'a'", "--column", "name") == "Exported 1 run.\n"
    assert (tmp_path / "x.csv").read_text().split() == ["name", "a"]
    assert call("runs", "delete", run_id) == f"Deleted 1 run.\nBring back with:  prefect-ml runs restore {run_id}\n"
    assert call("runs", "restore", run_id) == "Restored 1 run.\n"
    call("runs", "delete", run_id)
    age(store, 40)
    assert run_id in call("store", "gc", "--dry-run")
    assert get_run(run_id)
    assert json.loads(call("store", "gc", "--older-than", "35", "--json"))["runs"] == [run_id]
    assert "Nothing" in call("store", "gc")


def test_an_open_run_tells_its_experiment_as_it_is_kept(store: Store) -> None:
    with start_run(experiment="Cafe\u0301") as run:
        assert run.experiment == "Caf\u00e9"
    assert get_run(run.id).experiment == run.experiment
