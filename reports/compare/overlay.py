"""The curves of several runs in one small SVG that reads well on light and on dark ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..svg import TEXT, Size, draw_frame, label, path_through, value_labels
from ..text import number, xml_text
from .colours import colour_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ...store import MetricHistory

    Floats = npt.NDArray[np.float64]

__all__ = ["draw_legend", "draw_overlay"]

_POINTS = 60
_ROW = 18
_COLUMNS = 3


def draw_overlay(name: str, histories: Sequence[tuple[int, MetricHistory]], size: Size) -> str:
    """Draw several series of one metric over their steps.

    Args:
        name: The metric.
        histories: Each series with the number of its run, which decides its colour.
        size: Outer measures.
    """
    import numpy as np

    shown = [(run, _thinned(history)) for run, history in histories]
    steps = np.concatenate([xs for _, (xs, _) in shown]) if shown else np.empty(0)
    values = np.concatenate([ys for _, (_, ys) in shown]) if shown else np.empty(0)
    finite = values[np.isfinite(values)]
    parts = [label(4, 14, xml_text(name, 48), "start", ' font-weight="600" font-size="12"'), draw_frame(size)]
    if len(finite):
        frame = (float(steps.min()), float(steps.max()), float(finite.min()), float(finite.max()))
        parts += [_line(xs, ys, frame, colour_of(run), size) for run, (xs, ys) in shown]
        parts.append(value_labels(frame[2], frame[3], size))
        parts.append(_step_labels(frame[0], frame[1], size))
    return _svg(xml_text(name), parts, size)


def draw_legend(names: Sequence[str], size: Size) -> str:
    """Draw which run has which colour, as wide as `size`; a drawing, as markdown sets every image on a line."""
    across, rows = size.width // _COLUMNS, -(-len(names) // _COLUMNS)
    parts: list[str] = []
    for index, name in enumerate(names):
        x, y = 8 + index % _COLUMNS * across, 12 + index // _COLUMNS * _ROW
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4.5" fill="{colour_of(index)}"/>')
        parts.append(label(x + 10, y, xml_text(name, across // 7), "start", ' font-size="12"'))
    return _svg("Colours of the runs", parts, Size(size.width, rows * _ROW + 4))


def _svg(title: str, parts: Sequence[str], size: Size) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size.width}" height="{size.height}"'
        f' viewBox="0 0 {size.width} {size.height}" role="img" font-family="system-ui,sans-serif" font-size="11"'
        f' fill="{TEXT}"><title>{title}</title>{"".join(parts)}</svg>'
    )


def _thinned(history: MetricHistory) -> tuple[Floats, Floats]:
    import numpy as np

    taken = np.linspace(0, len(history) - 1, min(_POINTS, len(history))).astype(np.int64)
    return history.steps[taken].astype(np.float64), history.values[taken]


def _line(xs: Floats, ys: Floats, frame: tuple[float, float, float, float], colour: str, size: Size) -> str:
    left, top, right, bottom = size.box
    first, last, low, high = frame
    across = (xs - first) / ((last - first) or 1.0)
    # Halved first, so that the span of the widest doubles does not overflow.
    up = (ys / 2 - low / 2) / ((high / 2 - low / 2) or 1.0)
    return path_through(left + 3 + across * (right - left - 6), bottom - 3 - up * (bottom - top - 6), colour)


def _step_labels(first: float, last: float, size: Size) -> str:
    left, _, right, _ = size.box
    end = label(right, size.height - 6, number(last), "end") if last != first else ""
    return label(left, size.height - 6, number(first), "start") + end
