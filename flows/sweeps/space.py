"""What a sweep searches: one dimension for each parameter, checked before anything runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from ...errors import ProjectError

__all__ = ["Choice", "Dimension", "Integers", "LogUniform", "Space", "Uniform", "choice", "grid_points", "integers",
           "loguniform", "read_space", "sample", "uniform"]  # fmt: skip

_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Choice:
    """One of some values, which have no order."""

    values: tuple[Any, ...]

    def points(self) -> Sequence[Any] | None:
        """Give every value, or None where there is no end of them."""
        return self.values

    def read(self, text: str) -> Any:
        """Give the value that a run keeps as this text."""
        return next(value for value in self.values if str(value) == text)

    def as_json(self) -> dict[str, Any]:
        """Give it as `parse` reads it."""
        return {"choice": list(self.values)}

    def problem(self) -> str | None:
        """Say what is wrong with it."""
        if not self.values:
            return "offers no value; give at least one"
        for value in self.values:
            if not isinstance(value, _PLAIN):
                return f"offers {value!r}; offer texts, numbers, booleans and None, and make of them what you need"
        if len({str(value) for value in self.values}) < len(self.values):
            return "offers a value twice; each may be there once, and 1 and '1' are the same in a run's params"
        return None


@dataclass(frozen=True)
class Uniform:
    """A number between two, all equally likely; where it has a step, one of `low`, `low + step` and so on."""

    low: float
    high: float
    step: float | None = None

    def points(self) -> Sequence[float] | None:
        """Give every value, or None where there is no end of them."""
        if self.step is None:
            return None
        count = math.floor((self.high - self.low) / self.step * (1 + 1e-12)) + 1
        return [self.low + number * self.step for number in range(count)]

    def read(self, text: str) -> float:
        """Give the value that a run keeps as this text."""
        return float(text)

    def as_json(self) -> dict[str, Any]:
        """Give it as `parse` reads it."""
        return {"uniform": [self.low, self.high, *([] if self.step is None else [self.step])]}

    def problem(self) -> str | None:
        """Say what is wrong with it."""
        return _range_problem(self.low, self.high) or (
            "has a step that is not above 0" if self.step is not None and not self.step > 0 else None
        )


@dataclass(frozen=True)
class LogUniform:
    """A number between two above 0, whose magnitudes are equally likely."""

    low: float
    high: float

    def points(self) -> None:
        """Give None: there is no end of values."""
        return

    def read(self, text: str) -> float:
        """Give the value that a run keeps as this text."""
        return float(text)

    def as_json(self) -> dict[str, Any]:
        """Give it as `parse` reads it."""
        return {"loguniform": [self.low, self.high]}

    def problem(self) -> str | None:
        """Say what is wrong with it."""
        found = _range_problem(self.low, self.high)
        return found or ("begins at 0 or below, where there is no logarithm" if not self.low > 0 else None)


@dataclass(frozen=True)
class Integers:
    """A whole number between two, both included."""

    low: int
    high: int
    step: int = 1

    def points(self) -> Sequence[int]:
        """Give every value."""
        return range(self.low, self.high + 1, self.step)

    def read(self, text: str) -> int:
        """Give the value that a run keeps as this text."""
        return int(text)

    def as_json(self) -> dict[str, Any]:
        """Give it as `parse` reads it."""
        return {"integers": [self.low, self.high, self.step]}

    def problem(self) -> str | None:
        """Say what is wrong with it."""
        if not all(type(value) is int for value in (self.low, self.high, self.step)):
            return "has limits or a step that are not whole; use uniform for numbers with fractions"
        return _range_problem(self.low, self.high) or ("has a step below 1" if self.step < 1 else None)


Dimension: TypeAlias = Choice | Uniform | LogUniform | Integers
Space: TypeAlias = Mapping[str, Dimension]


def choice(*values: Any) -> Choice:
    """Take one of `values`: texts, numbers, booleans or None."""
    return Choice(tuple(map(_item, values)))


def uniform(low: float, high: float, step: float | None = None) -> Uniform:
    """Take a number between `low` and `high`, in steps of `step` where one is given."""
    return Uniform(low, high, step)


def loguniform(low: float, high: float) -> LogUniform:
    """Take a number between `low` and `high`, both above 0, with every magnitude equally likely."""
    return LogUniform(low, high)


def integers(low: int, high: int, step: int = 1) -> Integers:
    """Take a whole number from `low` to `high`, both included, in steps of `step`."""
    return Integers(low, high, step)


_MAKERS = {"choice": choice, "uniform": uniform, "loguniform": loguniform, "integers": integers}


def read_space(given: Mapping[str, Any]) -> dict[str, Dimension]:
    """Make a space of what a user or a run's params give.

    Args:
        given: For each parameter a dimension, a list of values, a range, or a dict such as `{"uniform": [0, 1]}`.

    Raises:
        ProjectError: There are no parameters, or one of them cannot be searched.
    """
    if not isinstance(given, Mapping) or not given:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ProjectError('A sweep needs a space: a dict of parameters, such as {"alpha": [0.1, 0.5]}.')
    return {str(name): _dimension(str(name), value) for name, value in given.items()}


def grid_points(space: Space) -> list[dict[str, Any]]:
    """Give every combination, the last parameter varying fastest.

    Raises:
        ProjectError: A parameter has no end of values.
    """
    points: dict[str, Sequence[Any]] = {}
    for name, dimension in space.items():
        found = dimension.points()
        if found is None:
            instead = "a list of values" if isinstance(dimension, LogUniform) else "a step, or a list of values"
            raise ProjectError(
                f"The parameter {name!r} has no end of values, so no grid holds them: give it {instead},"
                " or use method='random' or 'tpe'."
            )
        points[name] = found
    return [dict(zip(points, values, strict=True)) for values in itertools.product(*points.values())]


def sample(dimension: Dimension) -> Any:
    """Give one value that it holds."""
    return dimension.values[0] if isinstance(dimension, Choice) else dimension.low


def _dimension(name: str, given: Any) -> Dimension:
    try:
        made = _made(given)
        problem = None if made is None else made.problem()
    except TypeError as error:
        raise ProjectError(f"The parameter {name!r} of the space cannot be read ({error}).") from error
    if made is None:
        raise ProjectError(
            f"The parameter {name!r} of the space is {type(given).__name__}; give it a list of values, a range,"
            " uniform, loguniform, integers or choice."
        )
    if problem:
        raise ProjectError(f"The parameter {name!r} of the space {problem}.")
    return made


def _made(given: Any) -> Dimension | None:
    if isinstance(given, (Choice, Uniform, LogUniform, Integers)):
        return given
    if isinstance(given, range):
        return Integers(given[0], given[-1], given.step) if given and given.step > 0 else choice(*given)
    if isinstance(given, Mapping):
        items = list(cast("Mapping[str, Any]", given).items())
        return _MAKERS[items[0][0]](*items[0][1]) if len(items) == 1 and items[0][0] in _MAKERS else None
    values = given.tolist() if hasattr(given, "tolist") else given
    return choice(*cast("list[Any]", values)) if isinstance(values, (list, tuple)) else None


def _item(value: Any) -> Any:
    """Give a numpy scalar as the plain value that it is."""
    return value.item() if hasattr(value, "item") and not isinstance(value, _PLAIN) else value


def _range_problem(low: float, high: float) -> str | None:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "has no finite limits"
    return None if low < high else f"begins at {low} and ends at {high}; the first must be less than the second"
