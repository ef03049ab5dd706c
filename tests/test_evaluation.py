"""Evaluating models: what is measured, drawn, compared and recorded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as learn
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge

import prefect_ml
from prefect_ml import cli as commands
from prefect_ml.errors import ModelError
from prefect_ml.store.datasets import run_datasets
from prefect_ml.tasks.evaluation import Metric
from prefect_ml.tasks.evaluation.metrics import chosen_metrics, measure
from prefect_ml.tasks.evaluation.scores import Scored, model_of, score
from prefect_ml.tasks.evaluation.weighted import WEIGHTED


def cancer() -> tuple[pd.DataFrame, pd.Series]:
    return load_breast_cancer(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def logistic() -> LogisticRegression:
    rows, truth = cancer()
    return LogisticRegression(max_iter=3000, C=0.01).fit(rows[::2].iloc[:, :6], truth[::2])


@pytest.fixture(scope="module")
def forest() -> RandomForestClassifier:
    rows, truth = cancer()
    return RandomForestClassifier(n_estimators=20, random_state=0).fit(rows[::2].iloc[:, :6], truth[::2])


def held_out() -> tuple[pd.DataFrame, pd.Series]:
    rows, truth = cancer()
    return rows[1::2].iloc[:, :6], truth[1::2]


def test_a_classifier_is_measured_as_scikit_learn_measures_it(home: Path, logistic: LogisticRegression):
    rows, truth = held_out()
    found = prefect_ml.evaluate(logistic, rows, truth, kind="classifier", importance=False)
    labels, scores = logistic.predict(rows), logistic.predict_proba(rows)[:, 1]
    assert found.metrics["accuracy"] == pytest.approx(learn.accuracy_score(truth, labels))
    assert found.metrics["f1"] == pytest.approx(learn.f1_score(truth, labels))
    assert found.metrics["roc_auc"] == pytest.approx(learn.roc_auc_score(truth, scores))
    assert found.metrics["brier_score"] == pytest.approx(learn.brier_score_loss(truth, scores))
    assert np.array(found.drawings.confusion).tolist() == learn.confusion_matrix(truth, labels).tolist()
    assert found.rows == len(rows)
    assert found.passed, "no threshold was given"


def test_what_is_found_becomes_metrics_figures_and_a_report_of_a_run(home: Path, logistic: LogisticRegression):
    rows, truth = held_out()
    found = prefect_ml.evaluate(logistic, rows.assign(sick=truth), "sick", kind="classifier", slices=["mean radius"])
    run = prefect_ml.get_run(found.run_id)
    assert run.status == "Completed"
    assert run.metrics == pytest.approx(found.metrics)
    assert run.tags["evaluated_model"] == "LogisticRegression"
    names = {entry.path for entry in prefect_ml.list_artifacts(found.run_id, "evaluation")}
    assert {f"evaluation/{name}" for name in ("roc_curve.svg", "confusion_matrix.svg", "report.md")} <= names
    folder = prefect_ml.download_artifacts(found.run_id, "evaluation", to=home / "down")
    kept = json.loads((Path(folder) / "evaluation.json").read_text())
    assert kept["metrics"]["accuracy"] == pytest.approx(found.metrics["accuracy"])
    assert [one["rows"] for one in kept["slices"]] == [one.rows for one in found.slices]
    assert "Permutation importance" in (Path(folder) / "report.md").read_text()


def test_an_open_run_gets_several_evaluations_by_name(home: Path, logistic: LogisticRegression):
    rows, truth = held_out()
    options: dict[str, Any] = {"kind": "classifier", "metrics": ["accuracy"], "importance": False}
    with prefect_ml.start_run() as run:
        for name in ("north", "south"):
            prefect_ml.evaluate(logistic, rows, truth, name=name, **options)
    assert set(prefect_ml.get_run(run.id).metrics) == {"north/accuracy", "south/accuracy"}


def test_a_logged_model_is_evaluated_by_its_uri(home: Path, logistic: LogisticRegression):
    rows, truth = held_out()
    with prefect_ml.start_run():
        logged = prefect_ml.log_model(logistic, "model", example=rows[:3])
    found = prefect_ml.evaluate(logged.uri, rows, truth, kind="classifier", importance=False)
    assert found.model == logged.uri
    assert found.metrics["roc_auc"] == pytest.approx(learn.roc_auc_score(truth, logistic.predict_proba(rows)[:, 1]))


def test_two_models_on_the_same_rows(home: Path, forest: RandomForestClassifier):
    rows, truth = held_out()
    guess = DummyClassifier().fit(rows, truth)
    found = prefect_ml.evaluate(forest, rows, truth, kind="classifier", baseline=guess, importance=False)
    by_name = {one.metric: one for one in found.comparison}
    accuracy = by_name["accuracy"]
    assert accuracy.better is True
    assert 0 < accuracy.low < accuracy.difference < accuracy.high
    assert by_name["brier_score"].better is True, "less of it is better"
    same = prefect_ml.evaluate(forest, rows, truth, kind="classifier", baseline=forest, importance=False)
    assert {one.better for one in same.comparison} == {None}
    assert {one.low for one in same.comparison} == {0.0}


def test_thresholds_pass_or_fail(home: Path, forest: RandomForestClassifier):
    rows, truth = held_out()
    rules = [
        "accuracy >= 0.5",
        "log_loss<.0001",
        "f1 >= baseline - 0.01",
        "roc_auc > baseline + 0.5",
        "f1 >= baseline * 2",
    ]
    found = prefect_ml.evaluate(
        forest, rows, truth, kind="classifier", baseline=forest, thresholds=rules, importance=False
    )
    assert [check.passed for check in found.checks] == [True, False, True, False, False]
    assert found.checks[4].limit == pytest.approx(2 * found.metrics["f1"])
    assert not found.passed


def test_a_regressor_with_slices_and_importance(home: Path):
    rows, truth = load_diabetes(return_X_y=True, as_frame=True)
    model = Ridge(alpha=0.01).fit(rows, truth)
    named = rows.assign(sex=np.where(rows["sex"] > 0, "f", "m"))
    predict = lambda table: model.predict(table.assign(sex=np.where(table["sex"] == "f", 0.05068, -0.04464)))  # noqa: E731
    found = prefect_ml.evaluate(predict, named, truth, kind="regressor", slices=["sex", "bmi"])
    assert found.metrics["r2"] == pytest.approx(learn.r2_score(truth, predict(named)))
    assert {one.name for one in found.slices[:2]} == {"sex = f", "sex = m"}
    assert sum(one.rows for one in found.slices[2:]) == len(rows), "quarters of a numeric column"
    assert found.importance[0].column in {"bmi", "s5", "s1"}
    assert found.importance[0].mean > found.importance[-1].mean


def test_many_classes_and_named_slices(home: Path):
    rows, truth = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[truth]
    model = LogisticRegression(max_iter=500).fit(rows[::2], names[::2])
    wide = rows[:, 0] > 6
    found = prefect_ml.evaluate(model, rows, names, kind="classifier", slices={"wide": wide})
    assert found.classes == ("setosa", "versicolor", "virginica")
    assert len(found.drawings.roc) == 3
    assert found.slices[0].metrics["accuracy"] == pytest.approx(model.score(rows[wide], names[wide]))


def test_numbers_between_0_and_1_are_probabilities(home: Path):
    rows, truth = held_out()
    found = prefect_ml.evaluate(
        lambda table: 1 / (1 + np.exp(table["mean radius"] - 15)), rows, truth, kind="classifier", importance=False
    )
    assert found.metrics["roc_auc"] > 0.9


def test_metrics_of_ones_own(home: Path, logistic: LogisticRegression):
    rows, truth = held_out()

    def missed(targets: Any, predictions: Any) -> float:
        return float(((targets == 0) & (predictions == 1)).sum())

    cost = Metric("cost", lambda targets, predictions: 5 * missed(targets, predictions), greater_is_better=False)
    found = prefect_ml.evaluate(
        logistic, rows, truth, kind="classifier", metrics=[missed, cost, "accuracy"], baseline=logistic, resamples=20
    )
    assert list(found.metrics) == ["missed", "cost", "accuracy"]
    assert found.metrics["cost"] == 5 * found.metrics["missed"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "cluster"}, "it is 'classifier' or 'regressor'"),
        ({"metrics": ["acuracy"]}, "no metric 'acuracy'"),
        ({"metrics": ["rmse"]}, "no metric 'rmse' for a classifier"),
        ({"metrics": []}, "leaves nothing to measure"),
        ({"metrics": ["f1", "f1"]}, "given twice"),
        ({"thresholds": ["f1 > baseline"]}, "baseline="),
        ({"thresholds": ["f1 about 3"]}, "cannot be read"),
        ({"thresholds": ["fitness > 3"]}, "no metric that is measured"),
        ({"slices": ["colour"]}, "no column 'colour'"),
        ({"slices": {"few": [True]}}, "booleans, one per row"),
        ({"positive": "yes"}, "no label of the data"),
        ({"resamples": 0}, "draws nothing"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"targets": "colour"}, "no column 'colour' with the targets"),
        ({"targets": [1, 2]}, "one target per row"),
        ({"data": "nowhere.csv"}, "no file nowhere.csv"),
        ({"model": 3}, "is no model"),
        ({"metrics": ["f1_macro"]}, "needs more than two classes, and there are 2 here"),
        ({"metrics": ["log_loss"], "model": lambda table: np.zeros(len(table))}, "gives labels alone"),
        ({"metrics": ["f1"], "model": lambda table: np.arange(len(table)) % 3}, "exactly two classes, and there are 3"),
        ({"positive": 1, "model": lambda table: np.arange(len(table)) % 3}, "positive=1 is for two classes"),
        ({"name": "../x"}, "name='../x' is no folder"),
        ({"targets": np.where(held_out()[1], "yes", "no")}, "the same labels"),
        ({"model": lambda table: np.where(table["mean radius"] > 15, "no", "yes")}, "the same labels"),
        ({"targets": np.array([0, *["no"] * 283], dtype=object)}, "labels of one type"),
        ({"targets": held_out()[0]["mean area"] / 7}, "The targets are .* say kind='regressor'"),
        ({"model": lambda table: table["mean area"] / 7}, "say kind='regressor'"),
        ({"targets": np.arange(284) % 3, "model": lambda table: table["mean area"] / 7}, "say kind='regressor'"),
        ({"targets": np.where(held_out()[1], "yes", "no"), "kind": "regressor"}, "say kind='classifier'"),
        ({"model": lambda table: np.zeros((3, 3))}, "one value per row"),
        ({"model": lambda table: 1 / 0}, "ZeroDivisionError"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_sentence(
    home: Path, logistic: LogisticRegression, options: dict[str, Any], said: str
):
    rows, truth = held_out()
    given_: dict[str, Any] = {"model": logistic, "data": rows, "targets": truth, "kind": "classifier", **options}
    with pytest.raises(ModelError, match=said) as caught:
        prefect_ml.evaluate(given_.pop("model"), given_.pop("data"), given_.pop("targets"), **given_)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == (1 if said in {"one value per row", "ZeroDivisionError"} else 2)
    assert not prefect_ml.search_runs("", experiments=None) or options.keys() & {"slices"}, "nothing half-written"


@st.composite
def scored(draw: st.DrawFn) -> Scored:
    """What some model might have said, with ties and classes that only one side has."""
    rows = draw(st.integers(2, 25))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        values = random.normal(size=(2, rows)).round(draw(st.integers(0, 3)))
        return Scored("regressor", values[0], values[1], np.array([]), None)
    classes = np.arange(draw(st.integers(2, 4)))
    share = random.dirichlet(np.ones(len(classes)), rows).round(draw(st.integers(1, 3)))
    share = share / share.sum(axis=1, keepdims=True)
    targets = random.choice(classes, rows)
    return Scored("classifier", targets, share.argmax(axis=1), classes, share, 1 if len(classes) == 2 else None)


@settings(max_examples=150, deadline=None)
@given(scored(), st.integers(0, 2**32 - 1))
def test_resampled_metrics_equal_those_of_the_rows_repeated(one: Scored, seed: int):
    rows = len(one.targets)
    drawn = np.random.default_rng(seed).integers(0, rows, (3, rows))
    # Of one value drawn again and again scikit-learn's r2 is what rounding leaves.
    assume(one.kind == "classifier" or all(np.ptp(one.targets[some]) > 0 for some in drawn))
    weights = np.stack([np.bincount(some, minlength=rows) for some in drawn]).astype(float)
    for metric in chosen_metrics(None, one):
        found = WEIGHTED[metric.name](one)(weights)
        expected = [measure([metric], one.rows(some))[metric.name] for some in drawn]
        assert found == pytest.approx(expected, nan_ok=True, rel=1e-6, abs=1e-9), metric.name


def test_a_label_that_only_the_data_has(home: Path):
    rows, truth = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(rows[:100], truth[:100])
    found = score(model_of(model), rows, truth, kind="classifier")
    assert found.classes.tolist() == [0, 1, 2]
    assert found.probabilities is not None
    assert found.probabilities[:, 2].tolist() == [0.0] * 150


def test_the_command_ends_with_1_where_a_threshold_is_missed_and_with_2_where_it_is_asked_wrongly(
    home: Path, logistic: LogisticRegression, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows, truth = held_out()
    rows.assign(sick=truth).to_csv(tmp_path / "held-out.csv", index=False)
    with prefect_ml.start_run():
        logged = prefect_ml.log_model(logistic, "model", example=rows[:3])
    command = ["models", "evaluate", logged.uri, str(tmp_path / "held-out.csv"), "--targets", "sick"]
    command += ["--kind", "classifier", "--slice", "mean radius", "--no-importance"]
    good = CliRunner().invoke(commands.cli, [*command, "--threshold", "accuracy >= 0.5", "--json"])
    assert good.exit_code == 0, good.output
    found = json.loads(good.stdout)
    assert found["metrics"]["accuracy"] > 0.8
    assert found["passed"]
    bad = CliRunner().invoke(commands.cli, [*command, "--threshold", "accuracy >= 0.999", "--baseline", logged.uri])
    assert bad.exit_code == 1
    for wrong in (["--targets", "colour"], ["--metric", "acuracy"], ["--threshold", "f1 about 3"]):
        monkeypatch.setattr(sys, "argv", ["prefect-ml", *command, *wrong])
        with pytest.raises(SystemExit, match=r"^2$"):
            commands.main()
    (data,) = run_datasets(found["run_id"])
    assert (data.name, data.role) == ("held-out.csv", "evaluation")
    assert "accuracy >= 0.999" in bad.output
    assert "missed" in bad.output


_FLOW = """
import json
from prefect import flow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
import prefect_ml
from prefect_ml.tasks import evaluate as evaluate_task

rows, kinds = load_iris(return_X_y=True, as_frame=True)
model = LogisticRegression(max_iter=500).fit(rows[::2], kinds[::2])
options = {"kind": "classifier", "metrics": ["accuracy"], "importance": False}

@flow
def check():
    from prefect.runtime import flow_run
    plain = prefect_ml.evaluate(model, rows, kinds, thresholds=["accuracy >= 0.999"], **options)
    step = evaluate_task(model, rows[:100], kinds[:100], slices=["petal width (cm)"], **options)
    return flow_run.id, plain.run_id, plain.metrics["accuracy"], step.run_id, step.metrics["accuracy"]

print(json.dumps(check()))
"""


def test_in_a_flow_the_report_is_on_the_page_of_its_run(laptop: Any, in_prefect: Callable[..., Any], tmp_path: Path):
    flow_run, plain_run, plain, step_run, step = in_prefect(_FLOW, tmp_path)
    asked = {"artifacts": {"flow_run_id": {"any_": [flow_run]}}}
    answer = httpx.post(f"{laptop.api_url}/artifacts/filter", json=asked, timeout=30).raise_for_status().json()
    found = {one["task_run_id"]: one for one in answer if one["description"].startswith("**Evaluation")}
    assert set(found) == {None, step_run}, "one of the flow, one of the task"
    assert plain_run == flow_run
    for task_run, accuracy in ((None, plain), (step_run, step)):
        assert f"accuracy **{accuracy:.4g}**" in found[task_run]["description"]
        assert f"| accuracy | {accuracy:.6g} |" in found[task_run]["data"]
        assert "![confusion_matrix](data:image/svg+xml;base64," in found[task_run]["data"]
    assert found[None]["description"].startswith("**Evaluation · 1 of 1 thresholds missed**")
    assert "petal width (cm)" in found[step_run]["data"].replace("\\", "").replace("\u00a0", " ")


def test_the_examples_of_the_page_run_as_they_are(home: Path, tmp_path: Path):
    page = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text()
    script = tmp_path / "page.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.S)))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = prefect_ml.search_runs("tags.evaluated_model like 'runs:/%'", experiments=["cells"])
    assert run.metrics["roc_auc"] > 0.9
    names = {entry.path for entry in prefect_ml.list_artifacts(run.id, "evaluation")}
    assert names >= {"evaluation/report.md", "evaluation/evaluation.json", "evaluation/calibration_curve.svg"}
    two = Scored("classifier", np.arange(2), np.arange(2), np.arange(2), np.eye(2), 1)
    three = Scored("classifier", np.arange(3), np.arange(3), np.arange(3), np.eye(3))
    values = Scored("regressor", np.arange(3), np.arange(3), np.array([]), None)
    for metric in (metric for one in (two, three, values) for metric in chosen_metrics(None, one)):
        assert f"`{metric.name}`" in page
