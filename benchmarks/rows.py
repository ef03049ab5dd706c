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
    lines += [f"| {row.what} | {_number(row.value)} {row.unit} | {row.target} |" for row in rows]
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
