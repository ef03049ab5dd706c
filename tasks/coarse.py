"""The coarse steps as Prefect tasks, with the signatures of the plain functions."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from . import log as _log
from . import models as _models
from . import promotion as _promotion

__all__ = ["log_artifacts", "log_model", "promote", "register_model"]

# A step that changes something outside must run each time that it is asked for.
log_artifacts = task(_log.log_artifacts, cache_policy=NO_CACHE)
log_model = task(_models.log_model, cache_policy=NO_CACHE)
promote = task(_promotion.promote, cache_policy=NO_CACHE)
register_model = task(_promotion.register_model, cache_policy=NO_CACHE)
