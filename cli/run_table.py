"""Runs as a terminal shows them: statuses in colour, times as people say them, a metric with its curve in blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Literal

from .output import text_of

if TYPE_CHECKING:
    from rich.text import Text

    from ..store import Run

__all__ = ["STATUS_STYLES", "main_metric", "show_runs"]

STATUS_STYLES = {
    "Completed": "green",
    "Running": "bold blue",
    "Failed": "bold red",
    "Crashed": "bold red",
    "Cancelled": "yellow",
}
_POINTS = 30
_WIDTH = 14
_GAP = 2
_SHRUNK = 12
_FLEXIBLE = ("Name", "Experiment")
_SHORTEST_ID = 8
_UNITS = ((60, "s", 1), (3600, "min", 60), (86_400, "h", 3600), (14 * 86_400, "days", 86_400))


def main_metric(runs: Sequence[Run], terms: Sequence[str] = ()) -> str | None:
    """Choose the metric to show: the first that `terms` name, else the one that most runs have."""
    counts = Counter(name for run in runs for name in run.metrics)
    named = (name for term in terms for name in counts if f"metrics.{name}" in term)
    return next(named, None) or min(counts, key=lambda name: (-counts[name], name), default=None)


def show_runs(runs: Sequence[Run], metric: str | None) -> None:
    """Print runs for people.

    Args:
        runs: The runs.
        metric: The metric whose last value and curve each line shows, or None.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    columns = _columns(runs, metric)
    if sum(column.width + _GAP for column in columns) - _GAP > console.width:
        columns = _fitting([_shortened(columns[0]), *columns[1:]], console.width)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP, 0, 0))
    for column in columns:
        table.add_column(_plain(column.title), no_wrap=True, min_width=column.least, justify=column.justify)
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    console.print(table)


@dataclass(frozen=True)
class _Column:
    title: str
    cells: list[Text]
    rank: int
    justify: Literal["left", "right"] = "left"

    @property
    def width(self) -> int:
        return max(cell.cell_len for cell in [_plain(self.title), *self.cells])

    @property
    def least(self) -> int:
        """The width below which it is of no use; names may be cut."""
        return min(self.width, _SHRUNK) if self.title in _FLEXIBLE else self.width


def _columns(runs: Sequence[Run], metric: str | None) -> list[_Column]:
    """Give all columns from left to right; the lower the rank, the longer a column stays as the terminal narrows."""
    from rich.text import Text

    from ..reports.text import duration

    now = datetime.now(timezone.utc)
    took = [Text(duration((run.ended_at or now) - run.started_at), "" if run.ended_at else "blue") for run in runs]
    columns = [
        _Column("Id", [Text(run.id, "dim") for run in runs], 0),
        _Column("Name", [_plain(run.name) for run in runs], 0),
        _Column("Experiment", [_plain(run.experiment) for run in runs], 4),
        _Column("Status", [Text(run.status, STATUS_STYLES.get(run.status, "")) for run in runs], 1),
        _Column("Started", [_plain(_ago(run.started_at)) for run in runs], 3),
        _Column("Took", took, 5, "right"),
    ]
    if metric is not None:
        last = [_plain(text_of(run.metrics.get(metric))) for run in runs]
        curves = [Text(_spark(run, metric), "cyan") for run in runs]
        columns += [_Column(metric, last, 2, "right"), _Column("", curves, 6)]
    one = len({run.experiment for run in runs}) == 1
    return [column for column in columns if not (one and column.title == "Experiment")]


def _shortened(ids: _Column) -> _Column:
    """Cut ids to the shortest beginnings that tell those of this listing apart; every command takes them."""
    whole = {cell.plain for cell in ids.cells}
    lengths = range(_SHORTEST_ID, ids.width)
    enough = next((length for length in lengths if len({one[:length] for one in whole}) == len(whole)), ids.width)
    return replace(ids, cells=[cell[:enough] for cell in ids.cells])


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    """Leave out what a narrow terminal has no room for; names are cut before anything is left out."""
    left, kept = width + _GAP, set[int]()
    for column in sorted(columns, key=lambda column: column.rank):
        need = column.least + _GAP
        if column.rank == 0 or need <= left:
            left -= need
            kept.add(column.rank)
    return [column for column in columns if column.rank in kept]


def _spark(run: Run, metric: str) -> str:
    from ..reports.terminal import sparkline
    from ..store import metric_history

    if metric not in run.metrics:
        return ""
    values = metric_history(run.id, metric, max_points=_POINTS, attempt=run.attempt).values.tolist()
    return sparkline(values, _WIDTH) if len(values) > 1 else ""


def _ago(moment: datetime) -> str:
    seconds = max((datetime.now(timezone.utc) - moment) / timedelta(seconds=1), 0)
    for limit, unit, size in _UNITS:
        if seconds < limit:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{moment.astimezone():%Y-%m-%d}"


def _plain(text: str) -> Text:
    from rich.text import Text

    return Text(" ".join(text_of(text).split()))  # Text, so that no name is read as markup
