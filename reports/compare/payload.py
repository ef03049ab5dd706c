"""What the compare page's script is given: plain values, as short as they can be written."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..text import number
from .colours import colour_of

if TYPE_CHECKING:
    from ...store import Run
    from .columns import Cell, Column
    from .comparison import Comparison
    from .curves import Curve

__all__ = ["page_data"]

_DIGITS = 6


def page_data(comparison: Comparison) -> dict[str, Any]:
    """Give the data of a comparison's page; what is not finite is written as in JSON answers."""
    return {
        "runs": [_run(run) for run in comparison.runs],
        "colours": [colour_of(index) for index in range(len(comparison.runs))],
        "columns": [_column(column) | _bounds(column, comparison) for column in comparison.columns],
        "curves": {name: [_curve(one) for one in found] for name, found in comparison.curves.by_metric.items()},
        "left_out": comparison.curves.left_out,
        "max_points": comparison.curves.max_points,
    }


def _run(run: Run) -> dict[str, Any]:
    return {"id": run.id, "name": run.name, "status": run.status, "started": round(run.started_at.timestamp() * 1000)}


def _column(column: Column) -> dict[str, Any]:
    return {
        "group": column.group,
        "name": column.name,
        "numeric": column.numeric,
        "differs": column.differs,
        "cells": [_plain(cell) for cell in column.cells],
    }


def _bounds(column: Column, comparison: Comparison) -> dict[str, list[Cell]]:
    """Give the lowest and the highest value of a metric in each run; thinned series keep them."""
    curves = comparison.curves.by_metric.get(column.name) if column.group == "metrics" else None
    if not curves:
        return {}
    lows: list[Cell] = [None] * len(comparison.runs)
    highs: list[Cell] = [None] * len(comparison.runs)
    for curve in curves:
        numbers = [value for value in curve.history.values.tolist() if not math.isnan(value)]
        lows[curve.run] = _plain(min(numbers, default=math.nan))
        highs[curve.run] = _plain(max(numbers, default=math.nan))
    return {"lows": lows, "highs": highs}


def _plain(cell: Cell) -> Cell:
    return number(cell) if isinstance(cell, float) and not math.isfinite(cell) else cell


def _curve(curve: Curve) -> dict[str, Any]:
    history = curve.history
    return {
        "run": curve.run,
        "steps": _packed(history.steps.tolist()),
        "times": _packed(history.timestamps.tolist()),
        # What is drawn on a thousand pixels needs no more digits.
        "values": [_plain(float(f"{value:.{_DIGITS}g}")) for value in history.values.tolist()],
        "sampled": history.sampled,
    }


def _packed(numbers: list[int]) -> list[list[int]]:
    """Give the first number, then each distance to the next with how often it repeats."""
    if not numbers:
        return []
    packed = [[numbers[0], 1]]
    for before, after in pairwise(numbers):
        if len(packed) > 1 and packed[-1][0] == after - before:
            packed[-1][1] += 1
        else:
            packed.append([after - before, 1])
    return packed
