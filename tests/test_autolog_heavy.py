"""Autologging with the big libraries: `make test-heavy GROUP=autolog`."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefect_ml
from prefect_ml import autolog, metric_history, search_runs, start_run
from prefect_ml.store import Run

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

ROWS = np.random.default_rng(0).normal(size=(300, 4)).astype("float32")
KINDS = (ROWS[:, 0] + ROWS[:, 1] > 0).astype("int64")
SEEN, NEW = slice(200), slice(200, None)


@pytest.fixture(autouse=True)
def recording(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Autologging is on, without models, which take their time; Keras runs on torch."""
    if find_spec("lightning") is None:
        pytest.skip("these libraries come with `make test-heavy GROUP=autolog`")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    autolog(log_models=False)
    yield
    autolog(disable=True)


def runs() -> list[Run]:
    return sorted(search_runs(""), key=lambda run: (run.started_at, run.id))


def only_run() -> Run:
    (run,) = search_runs("")
    return run


def steps(run: Run, metric: str) -> list[int]:
    return list(metric_history(run.id, metric).steps)


def artifact(run: Run, name: str) -> str:
    return (Path(run.artifact_uri.removeprefix("file://")) / name).read_text()


# XGBoost


def test_xgboost_train_logs_each_round_up_to_the_one_that_stops_it() -> None:
    import xgboost

    seen, new = xgboost.DMatrix(ROWS[SEEN], KINDS[SEEN]), xgboost.DMatrix(ROWS[NEW], KINDS[NEW])
    found: dict[str, Any] = {}
    booster = xgboost.train(
        {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "max_depth": 3},
        seen,
        60,
        evals=[(seen, "train"), (new, "valid")],
        early_stopping_rounds=3,
        evals_result=found,
        verbose_eval=False,
    )
    run = only_run()
    assert (run.name, run.status, run.tags["autolog"]) == ("xgboost", "Completed", f"xgboost {xgboost.__version__}")
    assert {"max_depth", "num_boost_round", "early_stopping_rounds"} <= set(run.params)
    assert list(metric_history(run.id, "valid_logloss").values) == pytest.approx(found["valid"]["logloss"])
    assert steps(run, "train_auc") == list(range(len(found["train"]["auc"])))
    assert run.metrics["best_iteration"] == booster.best_iteration < len(found["valid"]["auc"]) - 1
    assert json.loads(artifact(run, "feature_importance.json"))["gain"] == pytest.approx(
        booster.get_score(importance_type="gain")
    )


def test_xgboost_estimators_keep_their_own_callbacks() -> None:
    import xgboost

    class Mine(xgboost.callback.TrainingCallback):
        def after_iteration(self, *_: object) -> bool:
            return False

    mine = Mine()
    estimator = xgboost.XGBClassifier(n_estimators=6, callbacks=[mine])
    estimator.fit(ROWS[SEEN], KINDS[SEEN], eval_set=[(ROWS[NEW], KINDS[NEW])], verbose=False)
    assert estimator.callbacks == [mine]
    xgboost.XGBRFClassifier(n_estimators=5).fit(ROWS, KINDS)  # refuses callbacks
    xgboost.XGBRegressor(n_estimators=2, booster="gblinear").fit(ROWS, KINDS)
    first, *others = runs()
    assert [run.name for run in others] == ["XGBRFClassifier", "XGBRegressor"]
    assert steps(first, "validation_0_logloss") == list(range(6))
    assert first.tags["estimator_class"] == "xgboost.sklearn.XGBClassifier"


def test_an_xgboost_estimator_is_logged_as_a_model_and_a_booster_is_not(caplog: pytest.LogCaptureFixture) -> None:
    import xgboost

    autolog()
    estimator = xgboost.XGBClassifier(n_estimators=2).fit(ROWS, KINDS)
    loaded = prefect_ml.load_model(f"runs:/{only_run().id}/model")
    assert list(loaded.predict(ROWS[:9])) == list(estimator.predict(ROWS[:9]))
    assert not caplog.records
    xgboost.train({}, xgboost.DMatrix(ROWS, KINDS), 1)
    assert "no flavor is made for xgboost.core.Booster" in caplog.text


def test_a_search_over_boosted_trees_is_one_training() -> None:
    import lightgbm
    import xgboost
    from sklearn.model_selection import GridSearchCV

    for kind in (xgboost.XGBClassifier(n_estimators=2), lightgbm.LGBMClassifier(n_estimators=2, verbosity=-1)):
        GridSearchCV(kind, {"max_depth": [1, 2]}, cv=2).fit(ROWS, KINDS)
    assert [run.name for run in runs() if run.parent_id is None] == ["GridSearchCV", "GridSearchCV"]
    assert len(runs()) == 2 + 2 * 2


# LightGBM


def test_lightgbm_train_logs_each_round_up_to_the_one_that_stops_it() -> None:
    import lightgbm

    seen, new = lightgbm.Dataset(ROWS[SEEN], KINDS[SEEN]), lightgbm.Dataset(ROWS[NEW], KINDS[NEW])
    found: dict[str, Any] = {}
    booster = lightgbm.train(
        {"objective": "binary", "metric": ["auc", "binary_logloss"], "verbosity": -1},
        seen,
        60,
        valid_sets=[new],
        valid_names=["valid"],
        callbacks=[lightgbm.early_stopping(3, verbose=False), lightgbm.record_evaluation(found)],
    )
    run = only_run()
    assert (run.name, run.params["num_boost_round"]) == ("lightgbm", "60")
    logged = metric_history(run.id, "valid_auc").values
    assert list(logged) == pytest.approx(found["valid"]["auc"])
    assert run.metrics["best_iteration"] == booster.best_iteration < len(logged)
    assert run.metrics["best_valid_auc"] == pytest.approx(booster.best_score["valid"]["auc"])
    assert set(json.loads(artifact(run, "feature_importance.json"))["gain"]) == set(booster.feature_name())


def test_lightgbm_estimators_are_logged_with_their_model() -> None:
    import lightgbm

    autolog()
    estimator = lightgbm.LGBMRegressor(n_estimators=4, verbosity=-1)
    estimator.fit(ROWS[SEEN], KINDS[SEEN], eval_set=[(ROWS[NEW], KINDS[NEW])], eval_metric="l1")
    run = only_run()
    assert (run.name, run.params["n_estimators"]) == ("LGBMRegressor", "4")
    assert steps(run, "valid_0_l1") == steps(run, "valid_0_l2") == [0, 1, 2, 3]
    loaded = prefect_ml.load_model(f"runs:/{run.id}/model")
    assert list(loaded.predict(ROWS[:5])) == pytest.approx(list(estimator.predict(ROWS[:5])))


# Keras


@pytest.fixture
def network() -> Any:
    import keras

    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(0.125), "binary_crossentropy", metrics=["accuracy"])
    return model


def test_keras_logs_each_epoch_and_what_was_compiled(network: Any) -> None:
    history = network.fit(ROWS, KINDS, epochs=3, verbose=0, validation_split=0.2, batch_size=50)
    run = only_run()
    assert (run.name, run.status) == ("Sequential", "Completed")
    assert run.params["optimizer"] == "Adam"
    assert float(run.params["optimizer_learning_rate"]) == 0.125
    assert (run.params["epochs"], run.params["batch_size"], run.params["loss"]) == ("3", "50", "binary_crossentropy")
    for name, values in history.history.items():
        assert list(metric_history(run.id, name).values) == pytest.approx(values)
    assert run.metrics["parameters"] == 5
    assert "dense" in artifact(run, "model_summary.txt")


def test_keras_callbacks_of_the_caller_are_kept(network: Any, caplog: pytest.LogCaptureFixture) -> None:
    import keras

    stopping = keras.callbacks.EarlyStopping(monitor="loss", patience=1, min_delta=10)
    network.fit(ROWS, KINDS, epochs=9, verbose=0, callbacks=stopping)
    listed = keras.callbacks.CallbackList([], model=network)
    network.fit(ROWS, KINDS, epochs=1, verbose=0, callbacks=listed)
    first, second = runs()
    assert first.metrics["stopped_epoch"] == 1
    assert steps(first, "loss") == [0, 1]
    assert steps(second, "loss") == [0]
    assert not [found for found in listed.callbacks if type(found).__module__.startswith("prefect_ml")]
    assert not caplog.records


def test_a_network_in_an_estimator_of_kerass_own_is_recorded() -> None:
    import keras

    def build(X: Any, y: Any) -> Any:
        model = keras.Sequential(
            [keras.layers.Input(X.shape[1:]), keras.layers.Dense(y.shape[1], activation="softmax")]
        )
        model.compile("sgd", "categorical_crossentropy")
        return model

    keras.wrappers.SKLearnClassifier(build, fit_kwargs={"epochs": 2, "verbose": 0}).fit(ROWS, KINDS)
    assert steps(only_run(), "loss") == [0, 1]


# PyTorch Lightning


def _lightning(package: str) -> tuple[Any, Any, Any]:
    import importlib

    import torch
    from torch.utils.data import DataLoader, TensorDataset

    pl = importlib.import_module(package)

    class Net(pl.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, rate: float = 0.125) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = torch.nn.Linear(4, 1)

        def loss(self, batch: Any) -> Any:
            return torch.nn.functional.binary_cross_entropy_with_logits(self.net(batch[0])[:, 0], batch[1].float())

        def training_step(self, batch: Any, _: int) -> Any:
            loss = self.loss(batch)
            self.log("loss", loss, on_step=True, on_epoch=True)
            self.log("mean", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("valid", self.loss(batch))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.hparams.rate)

    data = TensorDataset(torch.tensor(ROWS), torch.tensor(KINDS))
    return pl, Net, DataLoader(data, batch_size=30)


def _trainer(pl: Any, folder: Path, **more: Any) -> Any:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(accelerator="cpu", default_root_dir=folder, log_every_n_steps=4, **quiet, **more)


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_lightning_logs_steps_epochs_and_validations_each_once(package: str, tmp_path: Path) -> None:
    pl, net, data = _lightning(package)
    trainer = _trainer(pl, tmp_path, max_epochs=2)
    before = list(trainer.callbacks)
    trainer.fit(net(), data, data)
    run = only_run()
    assert trainer.callbacks == before
    assert (run.name, run.status, run.tags["model_class"]) == ("Net", "Completed", "Net")
    assert (run.params["rate"], run.params["optimizer"], run.params["optimizer_lr"]) == ("0.125", "SGD", "0.125")
    assert steps(run, "loss_step") == [4, 8, 10, 12, 16, 20]
    assert steps(run, "loss_epoch") == steps(run, "mean") == steps(run, "valid") == [10, 20]
    assert metric_history(run.id, "valid").values[-1] == pytest.approx(float(trainer.callback_metrics["valid"]))
    assert run.metrics["parameters"] == 5


def test_lightning_early_stopping_and_trial_runs(tmp_path: Path) -> None:
    pl, net, data = _lightning("lightning.pytorch")
    _trainer(pl, tmp_path, fast_dev_run=True).fit(net(), data)
    assert runs() == []
    stopping = pl.callbacks.EarlyStopping("mean", min_delta=10, patience=1)
    with start_run(name="mine"):
        _trainer(pl, tmp_path, max_epochs=9, callbacks=[stopping]).fit(net(), data, data)
    run = only_run()
    assert run.name == "mine"
    assert run.metrics["stopped_epoch"] == 1
    assert run.metrics["best_score"] == pytest.approx(float(stopping.best_score))


def test_a_copy_of_the_lightning_callback_in_another_process_is_silent(tmp_path: Path) -> None:
    pl, net, data = _lightning("lightning.pytorch")
    copies: list[Any] = []

    class Copier(pl.Callback):  # type: ignore[misc, name-defined]
        def on_train_start(self, trainer: Any, _: Any) -> None:
            copies.append(pickle.loads(pickle.dumps(trainer.callbacks[0])))

    _trainer(pl, tmp_path, max_epochs=1, callbacks=[Copier()]).fit(net(), data)
    (copy,) = copies
    assert isinstance(copy, pl.Callback)
    copy.on_train_epoch_end(_trainer(pl, tmp_path), None)
    assert len(runs()) == 1


# All of them

PROGRAM = """
import sys, prefect_ml
prefect_ml.autolog(log_models=False)
assert not {"sklearn", "xgboost", "lightgbm", "keras", "lightning", "torch"} & set(sys.modules)
import lightgbm, xgboost, keras, lightning, pytorch_lightning
owner = next(owner for owner in keras.Model.__mro__ if "fit" in vars(owner))
held = [(xgboost, "train"), (xgboost.XGBModel, "fit"), (xgboost.XGBClassifier, "fit"), (lightgbm, "train"),
        (lightgbm.LGBMRanker, "fit"), (lightning.Trainer, "fit"), (pytorch_lightning.Trainer, "fit"), (owner, "fit")]
wrapped = [vars(where)[name] for where, name in held]
prefect_ml.autolog(disable=True)
print([function.__wrapped__ is vars(where)[name] for function, (where, name) in zip(wrapped, held)])
"""


def test_what_is_imported_later_is_covered_and_can_be_left_as_it_was() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str([True] * 8)
