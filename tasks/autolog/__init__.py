"""Autologging: trainings with the usual libraries record themselves, each through the library's own callbacks."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import SettingsError
from . import keras, lightgbm, lightning, sklearn, xgboost
from .libraries import Library
from .recorder import Options
from .switch import Switch

__all__ = ["autolog"]

_LIBRARIES: tuple[Library, ...] = (keras, lightgbm, lightning, sklearn, xgboost)
_switch = Switch(_LIBRARIES)


def autolog(
    *,
    libraries: Sequence[str] | None = None,
    log_models: bool = True,
    candidates: int = 5,
    disable: bool = False,
) -> None:
    """Record every training with scikit-learn, XGBoost, LightGBM, PyTorch Lightning and Keras in this process.

    Params, metrics of each iteration, scores, importance of the features and the model go to the open run; with none
    open, each training gets a run of its own, named after the estimator. A run takes one training: each further
    one in it becomes a child run. None of the libraries is imported by this; one that is imported later is covered.
    Calling it again changes the options. An error in recording is a warning and never ends a training.

    Args:
        libraries: Which of `keras`, `lightgbm`, `lightning`, `sklearn`, `xgboost`; all by default.
        log_models: Whether models are logged, where a flavor can save them.
        candidates: How many candidates of a parameter search, best first, get a child run.
        disable: Stop recording, and leave the libraries as they were.

    Raises:
        SettingsError: There is no such library.
    """
    known = [library.NAME for library in _LIBRARIES]
    chosen = known if libraries is None else list(libraries)
    for name in chosen:
        if name not in known:
            raise SettingsError(f"autolog knows no library {name!r}; it knows {', '.join(known)}.")
    if disable:
        _switch.turn_off(chosen)
    else:
        _switch.turn_on(chosen, Options(log_models, candidates))
