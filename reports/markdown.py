"""The parts that every markdown report is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice

from .svg import data_uri
from .text import markdown_text

__all__ = ["ROWS", "image", "moment", "more", "pairs", "table"]

ROWS = 200
"""The most rows of one table."""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a table; the cells are markdown already."""
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pairs(title: str, values: Mapping[str, str], run_id: str) -> list[str]:
    """Write a section with names and values, or nothing where there are none."""
    if not values:
        return []
    rows = [(markdown_text(name), markdown_text(value)) for name, value in islice(values.items(), ROWS)]
    return [f"## {title}", table(("Name", "Value"), rows), *more(len(values) - len(rows), title.lower(), run_id)]


def image(name: str, svg: str) -> str:
    """Show a drawing."""
    return f"![{markdown_text(name, 80)}]({data_uri(svg)})"


def moment(at: datetime) -> str:
    """Write a moment."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def more(count: int, what: str, run_id: str) -> list[str]:
    """Say how many were left out, and where they are."""
    return [f"And {count} more {what}: `prefect-ml runs show {run_id}`."] if count > 0 else []
