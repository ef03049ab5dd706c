"""What autologging asks of a library: where its trainings are called, and how one of them is recorded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, cast

from .recorder import Recorder

__all__ = ["Call", "Library", "Target", "Training", "members_of"]


class Call:
    """One call of a library's `fit` or `train`, whose arguments can be changed before it is made."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs

    @property
    def owner(self) -> Any:
        """The first argument: the estimator, trainer or model of a method."""
        return self.args[0] if self.args else None

    def argument(self, name: str) -> Any:
        """Give the argument of this name, or None where the caller gave none."""
        return self._bound().arguments.get(name)

    def replace(self, name: str, value: Any) -> None:
        """Give the argument of this name another value."""
        bound = self._bound()
        bound.arguments[name] = value
        self.args, self.kwargs = bound.args, bound.kwargs

    def make(self) -> Any:
        """Make the call."""
        return self.function(*self.args, **self.kwargs)

    def _bound(self) -> inspect.BoundArguments:
        return inspect.signature(self.function).bind_partial(*self.args, **self.kwargs)


class Training(Protocol):
    """One training, as a library's integration records it. What it raises becomes a warning."""

    @property
    def name(self) -> str:
        """Name of the run, where the training gets one of its own."""
        ...

    def before(self, recorder: Recorder) -> None:
        """Record what is known, and hand the library a callback."""
        ...

    def release(self) -> None:
        """Take the callback back; called after the training, however it ended."""
        ...

    def after(self, recorder: Recorder, result: Any) -> None:
        """Record what came out; called only after success."""
        ...


class Library(Protocol):
    """A library whose trainings are recorded. Nothing here imports it: it is looked up in `sys.modules`."""

    @property
    def NAME(self) -> str:  # noqa: N802 - libraries are modules, and this is a constant of theirs
        """Name that `autolog(libraries=...)` takes."""
        ...

    @property
    def PACKAGES(self) -> tuple[str, ...]:  # noqa: N802
        """Top-level packages that it consists of."""
        ...

    def targets(self, module: ModuleType) -> Iterable[Target]:
        """Give what is to be wrapped in a module of the library that has just been imported."""
        ...

    def training(self, call: Call) -> Training | None:
        """Say how this call is recorded; None where it is no training."""
        ...


@dataclass(frozen=True)
class Target:
    """A `fit` or `train`.

    Attributes:
        owner: The class or module that holds it.
        name: Its name there.
    """

    owner: Any
    name: str = "fit"


def members_of(owner: Any) -> dict[str, Any]:
    """Give what a module or class holds itself."""
    return dict(cast("dict[str, Any]", vars(owner)))
