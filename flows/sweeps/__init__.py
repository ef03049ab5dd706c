"""Sweeps: a function, a flow or a project run with many parameters, to find those that do best."""

from __future__ import annotations

from . import space
from .result import SweepResult
from .space import choice, integers, loguniform, uniform
from .sweeping import sweep

__all__ = ["SweepResult", "choice", "integers", "loguniform", "space", "sweep", "uniform"]
