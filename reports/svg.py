"""One metric series as a small SVG that reads well on light and on dark ground."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .text import number, xml_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..store import MetricHistory

    Floats = npt.NDArray[np.float64]

__all__ = [
    "LARGE",
    "SMALL",
    "TEXT",
    "Size",
    "data_uri",
    "draw_curve",
    "draw_frame",
    "label",
    "path_through",
    "value_labels",
]

# Middle tones: the page's ground may be white or nearly black, and an image cannot ask which.
_LINE = "#3b82f6"
TEXT = "#808893"
"""Colour of labels."""
_BUCKETS = 150


@dataclass(frozen=True)
class Size:
    """Outer measures in pixels; the plot lies inside, with room for labels around it."""

    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the plot."""
        return 58, 26, self.width - 10, self.height - 22


SMALL = Size(300, 104)
LARGE = Size(520, 180)


def data_uri(svg: str) -> str:
    """Give the SVG as a URI that an image in markdown can name."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def draw_curve(name: str, history: MetricHistory, size: Size = SMALL) -> str:
    """Draw the values of a series over its steps.

    A long series is thinned to the lowest and the highest value of each pixel column or so, so no spike is lost.
    Values that are not finite leave gaps, and are counted below the plot.
    """
    import numpy as np

    values = np.where(np.isfinite(history.values), history.values, np.nan)
    finite = values[~np.isnan(values)]
    last = number(float(history.values[-1]), 4) if len(values) else ""
    parts = [_header(name, last, size), draw_frame(size)]
    if len(finite):
        parts.append(_curve(_positions(history.steps), values, size))
        parts.append(value_labels(float(finite.min()), float(finite.max()), size))
    parts.append(_step_labels(history, len(values) - len(finite), size))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size.width}" height="{size.height}"'
        f' viewBox="0 0 {size.width} {size.height}" role="img" font-family="system-ui,sans-serif" font-size="11"'
        f' fill="{TEXT}"><title>{xml_text(name)}</title>{"".join(parts)}</svg>'
    )


def _header(name: str, last: str, size: Size) -> str:
    room = size.width // 8 - len(last)
    return (
        label(4, 14, xml_text(name, room), "start", ' font-weight="600" font-size="12"')
        + label(size.width - 10, 14, last, "end", f' font-weight="600" font-size="12" fill="{_LINE}"')
    )  # fmt: skip


def draw_frame(size: Size) -> str:
    """Draw the two axes."""
    left, top, right, bottom = size.box
    return f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="{TEXT}" stroke-opacity=".45"/>'


def _curve(xs: Floats, values: Floats, size: Size) -> str:
    import numpy as np

    left, top, right, bottom = size.box
    xs, values = _thinned(xs, values)
    heights = _heights(values)
    across, down = left + 3 + xs * (right - left - 6), bottom - 3 - heights * (bottom - top - 6)
    end = int(np.flatnonzero(~np.isnan(down))[-1])
    last = f'<circle cx="{across[end]:.1f}" cy="{down[end]:.1f}" r="2.6" fill="{_LINE}"/>'
    return path_through(across, down, _LINE) + last


def path_through(across: Floats, down: Floats, colour: str) -> str:
    """Draw a line through points; where one is not finite it has a gap, and a point alone is a dot."""
    lines, dots = _paths(zip(across.tolist(), down.tolist(), strict=True))
    return (
        f'<g fill="none" stroke="{colour}" stroke-linecap="round" stroke-linejoin="round">'
        f'<path d="{lines}" stroke-width="1.6"/><path d="{dots}" stroke-width="4"/></g>'
    )


def _positions(steps: npt.NDArray[np.int64]) -> Floats:
    """Place steps between 0 and 1; points that share one step are placed in their order."""
    import numpy as np

    numbers = steps.astype(np.float64)
    span = float(numbers[-1] - numbers[0])
    if span > 0:
        return (numbers - numbers[0]) / span
    return np.linspace(0.0, 1.0, len(numbers)) if len(numbers) > 1 else np.array([0.5])


def _thinned(xs: Floats, values: Floats) -> tuple[Floats, Floats]:
    import numpy as np

    if len(xs) <= 2 * _BUCKETS:
        return xs, values
    bucket = np.minimum((xs * _BUCKETS).astype(np.int64), _BUCKETS - 1)
    starts = np.flatnonzero(np.diff(bucket, prepend=-1))
    ends = np.append(starts[1:], len(values)) - 1
    low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    falling = values[starts] > values[ends]
    pairs = np.column_stack((np.where(falling, high, low), np.where(falling, low, high)))
    return np.repeat((bucket[starts] + 0.5) / _BUCKETS, 2), pairs.ravel()


def _heights(values: Floats) -> Floats:
    """Place values between 0 and 1; halved first, so that the span of the widest doubles does not overflow."""
    import numpy as np

    halves = values / 2
    low, span = np.nanmin(halves), np.nanmax(halves) - np.nanmin(halves)
    return (halves - low) / span if span > 0 else np.where(np.isnan(values), np.nan, 0.5)


def _paths(points: Iterable[tuple[float, float]]) -> tuple[str, str]:
    """Give the lines between gaps, and the points that stand alone as strokes of no length, which show as dots."""
    strokes: list[list[str]] = [[]]
    for x, y in points:
        if math.isfinite(y):
            strokes[-1].append(f"{x:.1f} {y:.1f}")
        elif strokes[-1]:
            strokes.append([])
    lines = ("M" + "L".join(stroke) for stroke in strokes if len(stroke) > 1)
    dots = (f"M{stroke[0]}h0" for stroke in strokes if len(stroke) == 1)
    return "".join(lines), "".join(dots)


def value_labels(low: float, high: float, size: Size) -> str:
    """Write the lowest and the highest value beside the axis."""
    left, top, _, bottom = size.box
    if low == high:
        return label(left - 5, (top + bottom) // 2 + 4, number(low, 3), "end")
    return label(left - 5, top + 8, number(high, 3), "end") + label(left - 5, bottom, number(low, 3), "end")


def _step_labels(history: MetricHistory, missing: int, size: Size) -> str:
    left, _, right, _ = size.box
    below = size.height - 6
    note = f"{missing} of {len(history)} not finite" if missing else "" if len(history) else "no points"
    labels = label((left + right) // 2, below, note, "middle") if note else ""
    if len(history):
        first, last = int(history.steps[0]), int(history.steps[-1])
        labels += label(left, below, _step(first), "start")
        labels += label(right, below, _step(last), "end") if last != first else ""
    return labels


def _step(step: int) -> str:
    return str(step) if abs(step) < 10**8 else number(step, 3)


def label(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    """Write a text; `text` is XML already."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{more}>{text}</text>' if text else ""
