"""A comparison as markdown, for where no script runs: what differs as a table, and the curves as images."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from ..markdown import image, table
from ..run.report import Report
from ..svg import LARGE, SMALL, Size
from ..text import markdown_text, number, shorten
from .overlay import draw_legend, draw_overlay

if TYPE_CHECKING:
    from ...store import Run
    from .columns import Cell, Column
    from .comparison import Comparison

__all__ = ["render_comparison"]

_RUNS = 60
_LINES = 20
_CURVES = 12
_CARD_CURVES = 2
_COLUMNS = {"params": 10, "metrics": 10, "datasets": 3, "environment": 3, "run": 4}


def render_comparison(comparison: Comparison) -> Report:
    """Write a comparison as markdown, with a short text for the card on the Artifacts tab.

    Args:
        comparison: What was read.
    """
    runs, names = comparison.runs, _curve_names(comparison)
    called = _names(runs)
    columns = [column for group, most in _COLUMNS.items() for column in _differing(comparison, group)[:most]]
    sections = [
        f"# {markdown_text(comparison.title)}",
        "## What differs" if columns else "The runs agree in everything that was recorded.",
        *([_table(called, columns)] if columns else []),
        *_left_out(comparison, columns),
        *(["## Curves", *_legend(runs, called)] if names else []),
        *(_curve(comparison, name, LARGE) for name in names[:_CURVES]),
    ]
    return Report(_description(comparison, names), "\n\n".join(sections) + "\n")


def _differing(comparison: Comparison, group: str) -> list[Column]:
    return [column for column in comparison.columns if column.group == group and column.differs]


def _curve_names(comparison: Comparison) -> list[str]:
    curves = comparison.curves.by_metric
    return [name for name, found in curves.items() if any(len(curve.history) > 1 for curve in found)]


def _table(names: list[str], columns: list[Column]) -> str:
    head = ["Run", *(markdown_text(column.name, 30) for column in columns)]
    rows = [
        [markdown_text(name, 40), *(_cell(column.cells[index]) for column in columns)]
        for index, name in enumerate(names[:_RUNS])
    ]
    return table(head, rows)


def _cell(cell: Cell) -> str:
    return "" if cell is None else markdown_text(cell, 40) if isinstance(cell, str) else number(cell, 4)


def _left_out(comparison: Comparison, columns: list[Column]) -> list[str]:
    differing = sum(column.differs for column in comparison.columns if column.group in _COLUMNS)
    runs, others = max(0, len(comparison.runs) - _RUNS), differing - len(columns)
    parts = [f"{runs} more runs"] * bool(runs) + [f"{others} more columns that differ"] * bool(others)
    return [f"Not shown here: {' and '.join(parts)}."] if parts else []


def _legend(runs: tuple[Run, ...], names: list[str]) -> list[str]:
    shown = _LINES if len(runs) > _LINES else len(runs)
    said = [f"The curves are those of the first {shown} runs."] if len(runs) > shown else []
    return [*said, image("Colours of the runs", draw_legend(names[:shown], LARGE))]


def _names(runs: tuple[Run, ...]) -> list[str]:
    """Name the runs so that they can be told apart."""
    counts = Counter(run.name for run in runs)
    return [run.name if counts[run.name] == 1 else f"{shorten(run.name, 30)} {run.id[-6:]}" for run in runs]


def _curve(comparison: Comparison, name: str, size: Size) -> str:
    found = [
        (one.run, one.history) for one in comparison.curves.by_metric[name] if one.run < _LINES and len(one.history)
    ]
    return image(name, draw_overlay(name, found, size))


def _description(comparison: Comparison, names: list[str]) -> str:
    params = [markdown_text(column.name, 20) for column in _differing(comparison, "params")[:4]]
    lines = [f"**{markdown_text(comparison.title, 60)}**", *([f"differing in {', '.join(params)}"] if params else [])]
    ranges = [_range(column) for column in _differing(comparison, "metrics")[:3]]
    return "\n\n".join(
        [*lines, *filter(None, ranges), *(_curve(comparison, name, SMALL) for name in names[:_CARD_CURVES])]
    )


def _range(column: Column) -> str:
    finite = [cell for cell in column.cells if isinstance(cell, float) and math.isfinite(cell)]
    name = markdown_text(column.name, 24)
    return f"{name} {number(min(finite), 4)} to **{number(max(finite), 4)}**" if finite else ""
