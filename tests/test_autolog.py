"""Autologging with scikit-learn, by the public door."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, GradientBoostingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import prefect_ml
from prefect_ml import autolog, get_run, log_metric, log_param, metric_history, search_runs, start_run
from prefect_ml.errors import SettingsError
from prefect_ml.store import Run

ROWS, KINDS = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def recording(home: Path) -> Iterator[None]:
    """Autologging is on, without models, which take their time."""
    autolog(log_models=False)
    yield
    autolog(disable=True)


def runs() -> list[Run]:
    return sorted(search_runs(""), key=lambda run: (run.started_at, run.id))


def only_run() -> Run:
    (run,) = search_runs("")
    return run


def artifact(run: Run, name: str) -> object:
    return json.loads((Path(run.artifact_uri.removeprefix("file://")) / name).read_text())


def test_a_fit_outside_any_run_gets_one_with_its_model() -> None:
    autolog()
    frame = pd.DataFrame(ROWS, columns=["a", "b", "c", "d"])
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(frame, KINDS)
    run = only_run()
    assert (run.name, run.status, run.parent_id) == ("Pipeline", "Completed", None)
    assert run.params["logisticregression__C"] == "0.5"
    assert run.params["logisticregression"] == "LogisticRegression"
    assert run.tags["estimator_class"] == "sklearn.pipeline.Pipeline"
    assert run.tags["autolog"].startswith("scikit-learn ")
    assert run.metrics["training_score"] == pytest.approx(pipeline.score(frame, KINDS))
    loaded = prefect_ml.load_model(f"runs:/{run.id}/model")
    assert list(loaded.predict(frame[:3])) == list(pipeline.predict(frame[:3]))
    assert [column.name for column in loaded.signature.inputs] == ["a", "b", "c", "d"]


def test_the_score_of_each_iteration_comes_by_the_callback_of_scikit_learn() -> None:
    estimator = LogisticRegression(max_iter=200)
    if not hasattr(estimator, "set_callbacks"):
        pytest.skip("callbacks are new in scikit-learn 1.9")
    estimator.fit(ROWS, KINDS)
    history = metric_history(only_run().id, "training_score")
    assert len(history.steps) > 5
    assert list(history.steps) == list(range(len(history.steps)))
    assert history.values[-1] == pytest.approx(estimator.score(ROWS, KINDS))
    assert "_skl_callbacks" not in vars(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of the few iterations asked for
def test_what_an_estimator_keeps_of_its_iterations_becomes_a_series() -> None:
    network = MLPClassifier(max_iter=12, early_stopping=True, random_state=0).fit(ROWS, KINDS)
    boosting = GradientBoostingClassifier(n_estimators=5).fit(pd.DataFrame(ROWS, columns=list("abcd")), KINDS)
    first, second = runs()
    assert list(metric_history(first.id, "loss").values) == pytest.approx(network.loss_curve_)
    assert list(metric_history(first.id, "validation_score").values) == pytest.approx(network.validation_scores_)
    assert first.metrics["n_iter"] == 12
    assert list(metric_history(second.id, "train_score").values) == pytest.approx(boosting.train_score_)
    assert artifact(second, "feature_importance.json") == pytest.approx(
        dict(zip("abcd", boosting.feature_importances_, strict=True))
    )


def test_a_run_takes_the_first_fit_and_further_ones_become_children() -> None:
    with start_run(name="mine") as run:
        log_param("alpha", "by hand")
        ElasticNet(alpha=0.5).fit(ROWS, KINDS)
        ElasticNet(alpha=0.7).fit(ROWS, KINDS)
        SVC().fit(ROWS, KINDS)
        log_metric("mine", 1)
    mine = get_run(run.id)
    children = [found for found in runs() if found.parent_id == run.id]
    assert mine.params["l1_ratio"] == "0.5"
    assert (mine.params["alpha"], mine.params["ElasticNet.alpha"]) == ("by hand", "0.5")
    assert mine.metrics["mine"] == 1
    assert [(child.name, child.status, child.params.get("alpha")) for child in children] == [
        ("ElasticNet", "Completed", "0.7"),
        ("SVC", "Completed", None),
    ]


def test_fits_inside_a_fit_are_a_part_of_it() -> None:
    make_pipeline(StandardScaler(), KMeans(2, n_init=1)).fit(ROWS)
    VotingClassifier([("a", SVC()), ("b", DecisionTreeClassifier())]).fit(ROWS, KINDS)
    for backend in ("threading", "loky"):
        with joblib.parallel_config(backend, n_jobs=2):
            BaggingClassifier(SVC(), n_estimators=4).fit(ROWS, KINDS)
            cross_val_score(SVC(), ROWS, KINDS, cv=2)  # fits copies for nobody to keep
    assert [run.name for run in runs()] == ["Pipeline", "VotingClassifier", "BaggingClassifier", "BaggingClassifier"]


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_a_search_has_its_best_params_a_table_and_its_best_candidates(backend: str) -> None:
    autolog(log_models=False, candidates=2)
    with joblib.parallel_config(backend, n_jobs=2):
        search = GridSearchCV(SVC(), {"C": [0.001, 1, 10, 100], "kernel": ["linear"]}, cv=2).fit(ROWS, KINDS)
    parent, *children = runs()
    assert parent.name == "GridSearchCV"
    assert parent.params["best_C"] == str(search.best_params_["C"])
    assert parent.metrics["best_cv_score"] == pytest.approx(search.best_score_)
    rows = artifact(parent, "cv_results.json")
    assert [row["mean_test_score"] for row in rows] == pytest.approx(list(search.cv_results_["mean_test_score"]))
    assert len(children) == 2
    assert {child.parent_id for child in children} == {parent.id}
    best = next(child for child in children if child.name == f"candidate-{search.best_index_}")
    assert best.params == {"C": str(search.best_params_["C"]), "kernel": "linear"}
    assert best.metrics["mean_test_score"] == pytest.approx(search.best_score_)


def test_the_model_of_a_search_is_its_best_estimator() -> None:
    autolog(candidates=0)
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 3]}, cv=2).fit(ROWS, KINDS)
    model = prefect_ml.load_model(f"runs:/{only_run().id}/model")
    assert model.native().get_params() == search.best_estimator_.get_params()
    assert model.predict(ROWS).tolist() == search.predict(ROWS).tolist()


def test_a_search_that_refits_nothing_is_recorded_too(caplog: pytest.LogCaptureFixture) -> None:
    autolog()
    scoring = ["accuracy", "balanced_accuracy"]
    RandomizedSearchCV(SVC(), {"C": [1, 2, 3]}, n_iter=2, cv=2, refit=False, scoring=scoring).fit(ROWS, KINDS)
    run = only_run()
    assert {"mean_test_accuracy", "mean_test_balanced_accuracy"} <= set(artifact(run, "cv_results.json")[0])
    assert not caplog.records


def test_preparing_data_is_no_training_and_clustering_is() -> None:
    StandardScaler().fit_transform(ROWS)
    KMeans(2, n_init=1).fit_predict(ROWS)
    DBSCAN().fit_predict(ROWS)
    make_pipeline(StandardScaler(), PCA(2)).fit(ROWS)
    StackingClassifier([("a", SVC()), ("b", DecisionTreeClassifier())], cv=2).fit(ROWS, KINDS)
    assert [run.name for run in runs()] == ["KMeans", "DBSCAN", "StackingClassifier"]


def test_a_fit_that_fails_fails_as_ever_and_so_does_its_run() -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SVC().fit(ROWS, KINDS[:-1])
    assert only_run().status == "Failed"


def test_an_error_in_recording_is_one_warning_that_names_it(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(SVC):
        def score(self, *_: object) -> str:
            return "good"

    with caplog.at_level(logging.WARNING, "prefect_ml"):
        Odd().fit(ROWS, KINDS)
    (record,) = caplog.records
    assert "did not record metric 'training_score' of Odd" in record.getMessage()
    assert only_run().status == "Completed"


def test_a_store_that_is_away_does_not_stop_a_training(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PREFECT_ML_STORE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert SVC().fit(ROWS, KINDS).score(ROWS, KINDS) > 0.9
    assert "autolog did not record a training with sklearn" in caplog.text


def test_a_model_that_no_flavor_saves_is_said_and_not_pickled(caplog: pytest.LogCaptureFixture) -> None:
    autolog()
    DBSCAN().fit(ROWS)
    assert "did not record the model of DBSCAN" in caplog.text
    assert "DBSCAN" in caplog.text.split("(", 1)[1]


def test_an_example_that_cannot_be_kept_does_not_cost_the_model(caplog: pytest.LogCaptureFixture) -> None:
    autolog()
    frame = pd.DataFrame(ROWS).set_axis(list("abcd"), axis=1)
    frame["a"] = [Fraction(str(value)) for value in frame["a"]]
    DecisionTreeClassifier().fit(frame, KINDS)
    (record,) = caplog.records
    assert "did not record the input example of the model of DecisionTreeClassifier" in record.getMessage()
    assert prefect_ml.load_model(f"runs:/{only_run().id}/model").predict(frame[:2]).tolist() == [0, 0]


def test_disabling_leaves_everything_as_it_was() -> None:
    autolog(disable=True)
    owner = next(owner for owner in SVC.__mro__ if "fit" in vars(owner))
    finders, fit = list(sys.meta_path), vars(owner)["fit"]
    autolog(log_models=False)
    autolog(log_models=False)
    wrapped = LogisticRegression.fit
    assert len(sys.meta_path) == len(finders) + 1
    autolog(disable=True)
    assert sys.meta_path == finders
    assert vars(owner)["fit"] is fit
    assert LogisticRegression.fit is wrapped.__wrapped__  # type: ignore[attr-defined]
    SVC().fit(ROWS, KINDS)
    assert runs() == []


def test_one_library_can_be_left_out() -> None:
    autolog(libraries=["sklearn"], disable=True)
    SVC().fit(ROWS, KINDS)
    assert runs() == []
    with pytest.raises(SettingsError, match=r"no library 'fortran'.*sklearn"):
        autolog(libraries=["fortran"])


def test_threads_that_train_at_once_never_share_params() -> None:
    def train(number: int) -> None:
        with start_run(name=f"thread-{number}"):
            for alpha in (number, number + 0.5):
                ElasticNet(alpha=alpha + 1).fit(ROWS, KINDS)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(train, range(4)))
    found = runs()
    assert len(found) == 8
    assert sorted(float(run.params["alpha"]) for run in found) == [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5]


def test_an_estimator_of_ones_own_records_what_it_inherits() -> None:
    class Mine(ElasticNet):
        def fit(self, *args: object) -> Mine:
            return super().fit(*args)

    class Whole(BaseEstimator):
        def fit(self, rows: np.ndarray, kinds: np.ndarray) -> Whole:
            self.first_ = SVC().fit(rows, kinds)
            return self

    Mine().fit(ROWS, KINDS)
    Whole().fit(ROWS, KINDS)
    assert [run.name for run in runs()] == ["Mine", "SVC"]


PROGRAM = """
import sys, prefect_ml
prefect_ml.autolog(log_models=False)
assert not {"sklearn", "xgboost", "lightgbm", "keras", "lightning"} & set(sys.modules)
from sklearn.svm import SVC
from prefect import flow, task

SVC().fit([[0], [1]], [0, 1])
from sklearn.tree import DecisionTreeClassifier

@task
def train(depth):
    DecisionTreeClassifier(max_depth=depth).fit([[0], [1]], [0, 1])
    DecisionTreeClassifier(max_depth=depth + 10).fit([[0], [1]], [0, 1])
    prefect_ml.log_metric("after", depth)
    return prefect_ml.current_run().id

@flow
def pipeline():
    return [train(1), train(2)]

ids = pipeline() if sys.argv[1:] else []
for run in prefect_ml.search_runs(""):
    parent = ids.index(run.parent_id) if run.parent_id in ids else None
    depth, after = run.params.get("max_depth"), run.metrics.get("after")
    print(run.name.partition("-")[0], run.status, depth, after, parent, run.id in ids)
"""


def test_what_is_imported_later_is_covered() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["SVC Completed None None None False"]


def test_in_a_prefect_task_the_run_is_the_tasks(laptop) -> None:  # type: ignore[no-untyped-def]
    environ = {**laptop.environ, "PREFECT_API_URL": laptop.api_url, "PREFECT_ML_EXPERIMENT": "autolog"}
    program = PROGRAM.replace('search_runs("")', 'search_runs("", experiments=["autolog"])')
    command = [sys.executable, "-W", "ignore", "-c", program, "flow"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "DecisionTreeClassifier Completed 11 None 0 False",
        "DecisionTreeClassifier Completed 12 None 1 False",
        "SVC Completed None None None False",
        "train Completed 1 1.0 None True",
        "train Completed 2 2.0 None True",
    ]
