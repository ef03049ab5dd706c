"""The columns of a comparison: what is known of each run, and whether the runs differ in it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .curves import metrics_in_order

if TYPE_CHECKING:
    from ..store import Run

__all__ = ["Cell", "Column", "columns_of"]

Cell = str | float | None
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_WORDS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf, "-inf": -math.inf, "-infinity": -math.inf}
# More digits than a double holds: such a number is a name, and is shown as it was written.
_DIGITS = 15


@dataclass(frozen=True)
class Column:
    """One thing that is known of the runs.

    Attributes:
        group: params, metrics, datasets, run or tags.
        name: Name within the group.
        numeric: Whether every value is a number.
        differs: Whether any two runs differ in it; a run that has no value differs from one that has.
        cells: A value for each run; None where a run has none.
    """

    group: str
    name: str
    numeric: bool
    differs: bool
    cells: tuple[Cell, ...]


def columns_of(runs: Sequence[Run], datasets: Sequence[Mapping[str, str]] = ()) -> list[Column]:
    """Give the columns of a comparison: params, metrics, datasets, facts and tags, in each what differs first.

    Args:
        runs: The runs.
        datasets: For each run, what is known of its data, by dataset.
    """
    params = [_column("params", name, [run.params.get(name) for run in runs]) for name in _names(runs, "params")]
    metrics = [_column("metrics", name, [run.metrics.get(name) for run in runs]) for name in metrics_in_order(runs)]
    names = dict.fromkeys(name for known in datasets for name in known)
    data = [_text("datasets", name, [known.get(name) for known in datasets]) for name in names]
    facts = [_text("run", name, cells) for name, cells in _facts(runs)]
    seconds = _column("run", "seconds", [_seconds(run) for run in runs])
    tags = [_text("tags", name, [run.tags.get(name) for run in runs]) for name in _names(runs, "tags")]
    groups = params, metrics, data, [seconds, *facts], tags
    return [column for group in groups for column in sorted(group, key=lambda one: not one.differs)]


def _names(runs: Sequence[Run], group: str) -> list[str]:
    return sorted({name for run in runs for name in getattr(run, group)})


def _facts(runs: Sequence[Run]) -> Iterator[tuple[str, list[str | None]]]:
    yield "status", [run.status for run in runs]
    yield "experiment", [run.experiment for run in runs]
    yield "user", [run.user for run in runs]
    yield "attempt", [str(run.attempt) for run in runs]
    yield "project", [run.source.project for run in runs]
    yield "entry point", [run.source.entry_point for run in runs]
    yield "commit", [_commit(run) for run in runs]


def _commit(run: Run) -> str | None:
    commit = run.source.commit
    return commit and commit[:10] + ("+changes" if run.source.dirty else "")


def _seconds(run: Run) -> float | None:
    return max((run.ended_at - run.started_at).total_seconds(), 0.0) if run.ended_at else None


def _column(group: str, name: str, values: Sequence[str | float | None]) -> Column:
    numbers = [_number(value) for value in values]
    numeric = all((number is None) == (value is None) for number, value in zip(numbers, values, strict=True))
    cells = tuple(numbers) if numeric else tuple(values)
    return Column(group, name, numeric, _differs(cells), cells)


def _text(group: str, name: str, values: Sequence[str | None]) -> Column:
    return Column(group, name, numeric=False, differs=_differs(values), cells=tuple(values))


def _number(value: str | float | None) -> float | None:
    if not isinstance(value, str):
        return value
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    found = _NUMBER.fullmatch(value)
    short = found and sum(letter.isdigit() for letter in found[1]) <= _DIGITS
    return float(value) if short else None


def _differs(cells: Sequence[Cell]) -> bool:
    # NaN is unlike itself, but two runs that both have it do not differ in it.
    return len({"NaN" if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells}) > 1
