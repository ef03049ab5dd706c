"""Curves in a terminal: a line of blocks for a list, a plot of Braille dots for one run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .text import number, shorten

if TYPE_CHECKING:
    from ..store import MetricHistory

__all__ = ["plot", "sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_GAP = "·"
# Bits of the dots of a Braille character, by row and by column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EMPTY = 0x2800


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """Draw values as blocks of eight heights, at most `width` of them; what is not finite is a dot in the middle."""
    if not values:
        return ""
    count = min(width, len(values))
    taken = [values[round(i * (len(values) - 1) / max(count - 1, 1))] for i in range(count)]
    shares = _shares(taken)
    return "".join(_GAP if share is None else _BLOCKS[min(int(share * 8), 7)] for share in shares)


def plot(title: str, history: MetricHistory, *, width: int = 64, height: int = 8) -> str:
    """Draw a series over its steps as Braille dots, with its highest and lowest value and its first and last step.

    Args:
        title: What stands above the plot.
        history: The points.
        width: Width of the plot in characters, labels not counted.
        height: Height of the plot in characters.
    """
    values, steps = history.values.tolist(), history.steps.tolist()
    finite = [value for value in values if math.isfinite(value)]
    head = f"{shorten(title, 40)}  {number(values[-1], 5) if values else 'no points'}"
    if not finite:
        return head
    high, low = number(max(finite), 4), number(min(finite), 4)
    margin = max(len(high), len(low))
    labels = [high, *[""] * (height - 2), low]
    rows = [
        f"{label:>{margin}} ┤{row}" for label, row in zip(labels, _braille(steps, values, width, height), strict=True)
    ]
    first, last = str(steps[0]), str(steps[-1])
    below = first + " " * max(1, width - len(first) - len(last)) + last if last != first else first
    odd = len(values) - len(finite)
    note = [f"{' ' * margin}  {odd} of {len(values)} points are not finite"] if odd else []
    return "\n".join([head, *rows, f"{' ' * margin}  {below}", *note])


def _shares(values: Sequence[float]) -> list[float | None]:
    """Place values between 0 and 1; halved first, so that the span of the widest doubles does not overflow."""
    halves = [value / 2 if math.isfinite(value) else None for value in values]
    finite = [value for value in halves if value is not None]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    if high == low:
        return [None if value is None else 0.5 for value in halves]
    return [None if value is None else (value - low) / (high - low) for value in halves]


def _braille(steps: list[int], values: list[float], width: int, height: int) -> list[str]:
    cells = [[0] * width for _ in range(height)]
    across = [share or 0.0 for share in _shares([float(step) for step in steps])]
    before: tuple[int, int] | None = None
    for x, y in zip(across, _shares(values), strict=True):
        if y is None:
            before = None
            continue
        dot = round(x * (2 * width - 1)), round((1 - y) * (4 * height - 1))
        for column, row in _between(before or dot, dot):
            cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
        before = dot
    return ["".join(chr(_EMPTY + cell) for cell in row).rstrip(chr(_EMPTY)) for row in cells]


def _between(a: tuple[int, int], b: tuple[int, int]) -> list[tuple[int, int]]:
    """Give the dots of a straight line."""
    count = max(abs(b[0] - a[0]), abs(b[1] - a[1]), 1)
    return [
        (round(a[0] + (b[0] - a[0]) * i / count), round(a[1] + (b[1] - a[1]) * i / count)) for i in range(count + 1)
    ]
