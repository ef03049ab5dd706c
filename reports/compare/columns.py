"""The columns of a comparison: what is known of each run, and whether the runs differ in it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .curves import metrics_in_order

if TYPE_CHECKING:
    from ...store import Run

__all__ = ["Cell", "Column", "columns_of"]

Cell = str | float | None
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_WORDS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf, "-inf": -math.inf, "-infinity": -math.inf}
# A whole number of more digits than a double holds is a name, and is shown as it was written.
_DIGITS = 15


@dataclass(frozen=True)
class Column:
    """One thing that is known of the runs.

    Attributes:
        group: params, metrics, datasets, environment, run or tags.
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


def columns_of(runs: Sequence[Run], around: Sequence[Mapping[tuple[str, str], str]] = ()) -> list[Column]:
    """Give the columns of a comparison: params, metrics, data, environment, facts and tags, in each what differs first.

    Args:
        runs: The runs.
        around: For each run, what is known of its data and environment, by group and name.
    """
    params = [_column("params", name, [run.params.get(name) for run in runs]) for name in _names(runs, "params")]
    metrics = [_column("metrics", name, [run.metrics.get(name) for run in runs]) for name in metrics_in_order(runs)]
    keys = sorted({key for known in around for key in known})
    others = [_text(*key, [known.get(key) for known in around]) for key in keys]
    facts = [_text("run", name, cells) for name, cells in _facts(runs)]
    seconds = _column("run", "seconds", [_seconds(run) for run in runs])
    tags = [_text("tags", name, [run.tags.get(name) for run in runs]) for name in _names(runs, "tags")]
    groups = params, metrics, others, [seconds, *facts], tags
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
    exact = found and ("." in found[1] or len(found[1]) <= _DIGITS)
    return float(value) if exact else None


def _differs(cells: Sequence[Cell]) -> bool:
    # NaN is unlike itself, but two runs that both have it do not differ in it.
    return len({"NaN" if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells}) > 1
