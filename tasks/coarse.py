"""The coarse steps as Prefect tasks, with the signatures of the plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE

from . import compare as _compare
from . import log as _log
from . import models as _models
from . import promotion as _promotion
from .data import datasets as _datasets
from .evaluation import evaluating as _evaluating

__all__ = ["compare_runs", "evaluate", "log_artifacts", "log_dataset", "log_model", "promote", "register_model"]

P = ParamSpec("P")
R = TypeVar("R")


def _step(fn: Callable[P, R]) -> Task[P, R]:
    # A step that changes something outside must run each time that it is asked for.
    options: dict[str, Any] = {"cache_policy": NO_CACHE}
    return Task(fn, **options)


compare_runs = _step(_compare.compare_runs)
evaluate = _step(_evaluating.evaluate)
log_artifacts = _step(_log.log_artifacts)
log_dataset = _step(_datasets.log_dataset)
log_model = _step(_models.log_model)
promote = _step(_promotion.promote)
register_model = _step(_promotion.register_model)
