"""What a benchmark answers, and how it is printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes:
        what: What was measured, in the words of whoever pays for it.
        value: The number, in `unit`.
        unit: Its unit.
        target: The bound that we hold ourselves to, as text, or nothing.
        peer: The same measured with MLflow in the same run, or None.
        more_is_better: Whether a greater number is the better one.
    """

    what: str
    value: float
    unit: str
    target: str = ""
    peer: float | None = None
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer."""
        if not self.peer:
            return None
        return self.value / self.peer if self.more_is_better else self.peer / self.value


def as_markdown(rows: Iterable[Row]) -> str:
    """Give the rows as a markdown table."""
    lines = ["| What | prefect-ml | Target | MLflow | Ratio |", "|---|---|---|---|---|"]
    for row in rows:
        cells = (row.what, _number(row.value, row.unit), row.target, _number(row.peer, row.unit), _ratio(row))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:,.0f} x" if row.ratio >= 10 else f"{row.ratio:.1f} x"


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".strip()
