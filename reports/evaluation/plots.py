"""Figures of an evaluation, as SVG that reads well on light and on dark ground."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..compare.colours import colour_of
from ..svg import TEXT, Size, draw_frame, label
from ..text import number, xml_text
from .records import Curve, Importance

__all__ = ["FIGURE", "draw_bars", "draw_lines", "draw_matrix", "draw_points"]

FIGURE = Size(400, 300)
_POINTS = 2000
_LINES = 10
_CLASSES = 20
_BARS = 15


@dataclass(frozen=True)
class _Axes:
    """From values to places in the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]
    size: Size

    def place(self, x: float, y: float) -> str:
        """Give the place of a point."""
        left, top, right, bottom = self._box
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1.0)
        return f"{left + across * (right - left):.1f} {bottom - up * (bottom - top):.1f}"

    def labels(self, x_name: str, y_name: str) -> list[str]:
        """Write the ends of both axes and their names."""
        left, top, right, bottom = self._box
        below = bottom + 16
        return [
            label(left, below, number(self.x[0], 3), "start"),
            label(right, below, number(self.x[1], 3), "end"),
            label((left + right) / 2, below, xml_text(x_name, 40), "middle"),
            label(left - 5, bottom, number(self.y[0], 3), "end"),
            label(left - 5, top + 8, number(self.y[1], 3), "end"),
            label(0, 0, xml_text(y_name, 40), "middle", f' transform="translate(14 {(top + bottom) / 2}) rotate(-90)"'),
        ]

    @property
    def _box(self) -> tuple[int, int, int, int]:
        return self.size.box


def draw_lines(
    title: str, curves: Sequence[Curve], axes: tuple[str, str], *, diagonal: str = "", size: Size = FIGURE
) -> str:
    """Draw curves between 0 and 1 on both axes.

    Args:
        title: Above the figure.
        curves: The first ten are drawn.
        axes: Names of the two.
        diagonal: "rising" for a dashed line from corner to corner: what chance, or perfection, would give.
        size: Outer measures.
    """
    plane = _Axes((0.0, 1.0), (0.0, 1.0), size)
    parts = [draw_frame(size), *plane.labels(*axes)]
    if diagonal:
        parts.append(_stroke(plane, Curve("", (0.0, 1.0), (0.0, 1.0)), TEXT, ' stroke-dasharray="4 4"'))
    parts += [_stroke(plane, curve, colour_of(index)) for index, curve in enumerate(curves[:_LINES])]
    if len(curves) > 1:
        parts += _legend(curves[:_LINES], size)
    return _svg(title, parts, size)


def draw_points(title: str, points: Curve, axes: tuple[str, str], *, line: str = "", size: Size = FIGURE) -> str:
    """Draw points, thinned evenly to two thousand.

    Args:
        title: Above the figure.
        points: Those that are not finite are left out.
        axes: Names of the two.
        line: "diagonal" where both axes should agree, "zero" where the second should vanish.
        size: Outer measures.
    """
    shown = [(x, y) for x, y in zip(points.x, points.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    shown = shown[:: max(1, -(-len(shown) // _POINTS))]
    if not shown:
        return _svg(title, [draw_frame(size)], size)
    xs, ys = _span(x for x, _ in shown), _span(y for _, y in shown)
    if line == "diagonal":
        xs = ys = (min(xs[0], ys[0]), max(xs[1], ys[1]))
    plane = _Axes(xs, ys, size)
    parts = [draw_frame(size), *plane.labels(*axes)]
    dots = "".join(f"M{plane.place(x, y)}h0" for x, y in shown)
    parts.append(
        f'<path d="{dots}" fill="none" stroke="{colour_of(0)}" stroke-opacity=".5" stroke-width="4"'
        ' stroke-linecap="round"/>'
    )
    ends = {"diagonal": Curve("", xs, xs), "zero": Curve("", xs, (0.0, 0.0))}.get(line)
    if ends and ys[0] <= ends.y[0] <= ys[1]:
        parts.append(_stroke(plane, ends, TEXT, ' stroke-dasharray="4 4"'))
    return _svg(title, parts, size)


def draw_matrix(title: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw a confusion matrix: a row for each true class, shaded by its share of the row; the first twenty classes."""
    shown = len(names[:_CLASSES])
    cell = max(26, min(64, 300 // max(shown, 1)))
    left, top = 96, 52
    size = Size(left + shown * cell + 14, top + shown * cell + 26)
    parts: list[str] = []
    for row, line in enumerate(counts[:shown]):
        middle = top + row * cell + cell / 2 + 4
        parts.append(label(left - 6, middle, xml_text(names[row], 13), "end"))
        parts.append(label(left + row * cell + cell / 2, top - 6, xml_text(names[row], max(3, cell // 7)), "middle"))
        parts += [
            _cell(left + n * cell, top + row * cell, cell, count, sum(line)) for n, count in enumerate(line[:shown])
        ]
    parts.append(label(left + shown * cell / 2, 34, "predicted", "middle", ' font-style="italic"'))
    parts.append(label(10, top + shown * cell + 18, "true classes down, predicted across", "start", ' font-size="10"'))
    return _svg(title, parts, size)


def draw_bars(title: str, items: Sequence[Importance], size: Size = FIGURE) -> str:
    """Draw the importance of the first fifteen columns, each with its standard deviation."""
    shown = items[:_BARS]
    size = Size(size.width, 40 + 20 * max(len(shown), 1))
    left, right = 130, size.width - 56
    most = max((item.mean + item.std for item in shown), default=0.0) or 1.0
    parts: list[str] = []
    for index, item in enumerate(shown):
        y = 34 + 20 * index
        end = left + max(0.0, item.mean) / most * (right - left)
        spread = item.std / most * (right - left)
        parts += [
            label(left - 6, y + 10, xml_text(item.column, 18), "end"),
            f'<rect x="{left}" y="{y}" width="{max(end - left, 1):.1f}" height="13" rx="2" fill="{colour_of(0)}"/>',
            f'<path d="M{max(left, end - spread):.1f} {y + 6.5}H{end + spread:.1f}" stroke="{TEXT}"/>',
            label(size.width - 8, y + 10, number(item.mean, 3), "end"),
        ]
    return _svg(title, parts, size)


def _cell(x: float, y: float, cell: int, count: int, total: int) -> str:
    share = count / total if total else 0.0
    ink = "#ffffff" if share > 0.5 else TEXT
    ground = f'<rect x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" rx="3" fill="{colour_of(0)}"'
    text = label(x + (cell - 2) / 2, y + cell / 2 + 3, number(count, 4), "middle", f' font-weight="600" fill="{ink}"')
    return f'{ground} fill-opacity="{0.08 + 0.72 * share:.2f}"/>{text}'


def _stroke(plane: _Axes, curve: Curve, colour: str, more: str = "") -> str:
    path = "L".join(plane.place(x, y) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(y))
    return (
        f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-linejoin="round"{more}/>'
        if path
        else ""
    )


def _legend(curves: Sequence[Curve], size: Size) -> list[str]:
    _, _, right, bottom = size.box
    parts: list[str] = []
    for index, curve in enumerate(curves):
        y = bottom - 8 - 14 * (len(curves) - 1 - index)
        parts.append(label(right - 6, y, xml_text(curve.name, 22), "end", f' fill="{colour_of(index)}"'))
    return parts


def _span(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    low, high = min(found), max(found)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _svg(title: str, parts: Sequence[str], size: Size) -> str:
    head = label(4, 14, xml_text(title, 60), "start", ' font-weight="600" font-size="12"')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size.width}" height="{size.height}"'
        f' viewBox="0 0 {size.width} {size.height}" role="img" font-family="system-ui,sans-serif" font-size="11"'
        f' fill="{TEXT}"><title>{xml_text(title)}</title>{head}{"".join(parts)}</svg>'
    )
