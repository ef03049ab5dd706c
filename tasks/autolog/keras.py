"""Keras 3: `Model.fit`, through its Callback."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, cast

from .libraries import Call, Target
from .recorder import Recorder

__all__ = ["NAME", "PACKAGES", "targets", "training"]

NAME = "keras"
PACKAGES = ("keras",)

_PARAMS = ("batch_size", "epochs", "initial_epoch", "shuffle", "steps_per_epoch", "validation_split")


def targets(module: ModuleType) -> Iterable[Target]:
    """Give the class whose `fit` models have: the trainer of the backend."""
    library: Any = module
    if module.__name__ == NAME:
        yield Target(next(owner for owner in library.Model.__mro__ if "fit" in vars(owner)))


def training(call: Call) -> ModelFit:
    """Record every training."""
    return ModelFit(call)


class ModelFit:
    """One `fit` of a model."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._model = call.owner
        self._lent: list[Any] | None = None
        self._callback: Any = None
        self.name = type(call.owner).__name__

    def before(self, recorder: Recorder) -> None:
        """Log the params, and add the callback."""
        given = {name: self._call.argument(name) for name in _PARAMS}
        recorder.params({name: value for name, value in given.items() if value is not None})
        recorder.tags({"autolog": f"keras {_keras().__version__}", "keras_backend": _keras().config.backend()})
        with recorder.going_on("the optimizer"):
            recorder.params(_compiled(self._model))
        self._callback = _callback(recorder)
        self._add(self._callback)

    def release(self) -> None:
        """Take the callback off a list that is the caller's own."""
        if self._lent is not None and self._callback in self._lent:
            self._lent.remove(self._callback)

    def after(self, recorder: Recorder, result: Any) -> None:
        """Log what early stopping chose, the summary, and the model."""
        del result  # its history has been logged
        stopping = _keras().callbacks.EarlyStopping
        for callback in self._callbacks():
            if isinstance(callback, stopping):
                recorder.metrics(_stopped(callback))
        with recorder.going_on("the summary"):
            recorder.metrics({"parameters": self._model.count_params()})
            recorder.text(_summary(self._model), "model_summary.txt")
        recorder.model(self._model)

    def _add(self, callback: Any) -> None:
        given = self._call.argument("callbacks")
        if hasattr(given, "append") and hasattr(given, "callbacks"):  # a CallbackList, which must stay that one
            given.append(callback)
            self._lent = given.callbacks
        else:
            listed = cast("Sequence[Any]", given if isinstance(given, (list, tuple)) else [given])
            self._call.replace("callbacks", [*(found for found in listed if found is not None), callback])

    def _callbacks(self) -> list[Any]:
        given = self._call.argument("callbacks")
        return list(getattr(given, "callbacks", given) or ())


def _callback(recorder: Recorder) -> Any:
    class Epochs(_keras().callbacks.Callback):  # pyright: ignore[reportUntypedBaseClass]
        def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
            with recorder.going_on("the metrics of an epoch"):
                recorder.metrics(dict(logs or {}), step=epoch)

    return Epochs()


def _compiled(model: Any) -> dict[str, Any]:
    optimizer: Mapping[str, Any] = model.optimizer.get_config()
    found = {f"optimizer_{name}": value for name, value in optimizer.items() if name != "name" and value is not None}
    return {"optimizer": type(model.optimizer).__name__, **found, "loss": model.loss}


def _stopped(callback: Any) -> dict[str, float]:
    found = {"stopped_epoch": callback.stopped_epoch, "best_epoch": callback.best_epoch, "best_score": callback.best}
    return {name: float(value) for name, value in found.items() if value is not None}


def _summary(model: Any) -> str:
    lines: list[str] = []

    def keep(text: object, **_: object) -> None:
        lines.append(str(text))

    model.summary(line_length=100, print_fn=keep)
    return "\n".join(lines)


def _keras() -> Any:
    return sys.modules[NAME]
