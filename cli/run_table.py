"""Runs as a terminal shows them: statuses in colour, times as people say them, a metric with its curve in blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from .output import text_of

if TYPE_CHECKING:
    from rich.text import Text

    from ..store import Run

__all__ = ["STATUS_STYLES", "is_terminal", "main_metric", "show_runs"]

STATUS_STYLES = {
    "Completed": "green",
    "Running": "bold blue",
    "Failed": "bold red",
    "Crashed": "bold red",
    "Cancelled": "yellow",
}
_POINTS = 30
_WIDTH = 14
_UNITS = ((60, "s", 1), (3600, "min", 60), (86_400, "h", 3600), (14 * 86_400, "days", 86_400))


def is_terminal() -> bool:
    """Whether people look at standard output."""
    from rich.console import Console

    return Console().is_terminal


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

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Id", no_wrap=True, style="dim")
    table.add_column("Name", no_wrap=True, min_width=8)
    one = len({run.experiment for run in runs}) == 1
    if not one:
        table.add_column("Experiment", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Started", no_wrap=True)
    table.add_column("Took", no_wrap=True, justify="right")
    if metric is not None:
        table.add_column(_plain(metric), no_wrap=True, justify="right", min_width=8)
        table.add_column("", no_wrap=True, min_width=_WIDTH)
    for run in runs:
        table.add_row(*_cells(run, metric, experiment=not one))
    Console(highlight=False).print(table)


def _cells(run: Run, metric: str | None, *, experiment: bool) -> list[Text]:
    from rich.text import Text

    from ..reports.text import duration

    took = (run.ended_at or datetime.now(timezone.utc)) - run.started_at
    cells = [_plain(run.id), _plain(run.name), *([_plain(run.experiment)] if experiment else [])]
    cells.append(Text(run.status, STATUS_STYLES.get(run.status, "")))
    cells += [_plain(_ago(run.started_at)), Text(duration(took), "" if run.ended_at else "blue")]
    if metric is not None:
        cells += [_plain(text_of(run.metrics.get(metric))), Text(_spark(run, metric), "cyan")]
    return cells


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

    return Text(" ".join(text.split()))  # Text, so that no name is read as markup
