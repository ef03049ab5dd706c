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
        target: The bound that we hold ourselves to, or nothing.
    """

    what: str
    value: float
    unit: str
    target: str = ""


def as_markdown(rows: Iterable[Row]) -> str:
    """Give the rows as a markdown table."""
    lines = ["| What | Measured | Target |", "|---|---|---|"]
    lines += [f"| {row.what} | {_measured(row)} | {row.target} |" for row in rows]
    return "\n".join(lines)


def _measured(row: Row) -> str:
    number = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.3g}"
    return f"{number} {row.unit}".strip()
