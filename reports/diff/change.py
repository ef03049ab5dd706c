"""One thing in which two runs differ."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Change", "Value"]

Value = str | float | None


@dataclass(frozen=True)
class Change:
    """One thing in which two runs differ.

    Attributes:
        kind: code, param, dataset, environment, prefect, status or metric.
        name: What it is.
        a: Its value in the first run; None where that has none.
        b: Its value in the second run.
        note: What the difference amounts to, or the empty text.
    """

    kind: str
    name: str
    a: Value
    b: Value
    note: str = ""
