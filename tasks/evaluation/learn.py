"""The one door to scikit-learn, which carries types only in part and is imported where it is needed."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

from ...errors import ModelError

__all__ = ["need_sklearn", "of_sklearn", "quietly"]


def of_sklearn(module: str, name: str) -> Callable[..., Any]:
    """Give a function of scikit-learn."""
    return cast("Callable[..., Any]", getattr(importlib.import_module(f"sklearn.{module}"), name))


def need_sklearn() -> None:
    """See that scikit-learn is there.

    Raises:
        ModelError: It is not.
    """
    try:
        importlib.import_module("sklearn")
    except ImportError:
        raise ModelError("Evaluating needs scikit-learn; install prefect-ml[evaluation].") from None


@contextmanager
def quietly() -> Generator[None]:
    """Keep scikit-learn from checking the same arrays in each of many calls, and from warning of empty classes."""
    context: Any = importlib.import_module("sklearn").config_context
    with warnings.catch_warnings(), context(assume_finite=True, skip_parameter_validation=True):
        warnings.simplefilter("ignore")
        yield
