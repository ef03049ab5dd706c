"""PyTorch Lightning: `Trainer.fit`, through its Callback."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from .libraries import Call, Target
from .recorder import Recorder

__all__ = ["NAME", "PACKAGES", "targets", "training"]

NAME = "lightning"
PACKAGES = ("lightning", "pytorch_lightning")

_TRAINERS = ("lightning.pytorch.trainer.trainer", "pytorch_lightning.trainer.trainer")


def targets(module: ModuleType) -> Iterable[Target]:
    """Give the Trainer; the package exists under two names."""
    library: Any = module
    if module.__name__ in _TRAINERS:
        yield Target(library.Trainer)


def training(call: Call) -> TrainerFit | None:
    """Record on the first process of a training; trial runs (`fast_dev_run`) are none."""
    trainer = call.owner
    return TrainerFit(call) if trainer.is_global_zero and not trainer.fast_dev_run else None


class TrainerFit:
    """One `fit` of a Trainer."""

    def __init__(self, call: Call) -> None:
        self._trainer = call.owner
        self._model = call.argument("model")
        self._callback: Any = None
        self.name = type(self._model).__name__

    def before(self, recorder: Recorder) -> None:
        """Log the params, and add the callback."""
        package = type(self._trainer).__module__.partition(".")[0]
        recorder.tags({"autolog": f"{package} {sys.modules[package].__version__}", "model_class": self.name})
        recorder.params(dict(getattr(self._model, "hparams", {})))
        names = ("max_epochs", "max_steps", "precision", "accumulate_grad_batches", "gradient_clip_val")
        given = {name: getattr(self._trainer, name, None) for name in names}
        recorder.params({name: value for name, value in given.items() if value not in (None, -1)})
        self._callback = make_callback(package, Steps(recorder))
        self._trainer.callbacks.insert(0, self._callback)  # checkpoints must stay last

    def release(self) -> None:
        """Take the callback off."""
        if self._callback in self._trainer.callbacks:
            self._trainer.callbacks.remove(self._callback)

    def after(self, recorder: Recorder, result: Any) -> None:
        """Log what is left: the last metrics, early stopping, the best checkpoint, the summary, the model."""
        del result  # Lightning gives None
        self._callback.steps.show(self._trainer, "end")
        recorder.metrics(_best(self._trainer))
        with recorder.going_on("the summary"):
            package = type(self._trainer).__module__.partition(".")[0]
            summary = _pytorch(package).utilities.model_summary.ModelSummary(self._model, max_depth=-1)
            recorder.metrics({"parameters": summary.total_parameters})
            recorder.text(str(summary), "model_summary.txt")
        recorder.model(self._model)


class Steps:
    """What one training logs; the step is Lightning's `global_step`, as in its own loggers.

    Lightning shows all metrics at any time, old ones too: each is new only at the hook that first showed it.
    """

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder
        self._hooks: dict[str, str] = {}
        self._logged: dict[str, int] = {}

    def show(self, trainer: Any, hook: str) -> None:
        """Log what is new at this hook: `batch`, `validation`, `epoch` or `end`."""
        if self._recorder is None or trainer.sanity_checking:
            return
        with self._recorder.going_on("the metrics of a step"):
            found = _told_apart(trainer.callback_metrics)
            for name in found:
                self._hooks.setdefault(name, hook)
            step = int(trainer.global_step)
            if hook == "batch" and step % max(1, trainer.log_every_n_steps):
                return  # its own loggers pass over this one, too
            due = (
                (hook, "batch") if hook == "epoch" else (hook,)
            )  # the last batch of an epoch shows, however few there are
            new = [name for name in found if self._hooks[name] in due and self._logged.get(name) != step]
            self._logged |= dict.fromkeys(new, step)
            self._recorder.metrics({name: found[name].item() for name in new}, step=step)

    def begin(self, trainer: Any) -> None:
        """Log the optimizers, which exist only now."""
        if self._recorder is None:
            return
        with self._recorder.going_on("the optimizer"):
            self._recorder.params(_optimizers(trainer))


def make_callback(package: str, steps: Steps) -> Any:
    """Make a callback of the package's own class. A copy in another process writes nothing: the run is not its own."""

    class Autolog(_pytorch(package).callbacks.Callback):  # pyright: ignore[reportUntypedBaseClass]
        def __init__(self) -> None:
            self.steps = steps

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            del pl_module
            steps.begin(trainer)

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            del pl_module, outputs, batch, batch_idx
            steps.show(trainer, "batch")

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            del pl_module
            steps.show(trainer, "validation")

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            del pl_module
            steps.show(trainer, "epoch")

        def __reduce__(self) -> Any:
            return make_callback, (package, Steps(None))

    return Autolog()


def _told_apart(metrics: Mapping[str, Any]) -> dict[str, Any]:
    # What is logged by step and by epoch is there under three names: the bare one is either of the two.
    return {name: value for name, value in metrics.items() if f"{name}_step" not in metrics}


def _optimizers(trainer: Any) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for number, optimizer in enumerate(trainer.optimizers):
        prefix = "optimizer" if number == 0 else f"optimizer_{number}"
        found[prefix] = type(optimizer).__name__
        found |= {f"{prefix}_{name}": value for name, value in optimizer.defaults.items() if value is not None}
    return found


def _best(trainer: Any) -> dict[str, float]:
    stopping, checkpoint = trainer.early_stopping_callback, trainer.checkpoint_callback
    found = {
        "stopped_epoch": getattr(stopping, "stopped_epoch", None) or None,
        "best_score": getattr(stopping, "best_score", None),
        "best_model_score": getattr(checkpoint, "best_model_score", None),
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def _pytorch(package: str) -> Any:
    return importlib.import_module("lightning.pytorch" if package == "lightning" else package)
