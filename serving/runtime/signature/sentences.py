"""Words for what was found, short enough for a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["listed", "shown"]


def shown(value: Any) -> str:
    """Give a value and its type: "'seven' (str)"."""
    if value is None:
        return "null"
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type(value).__name__})"


def listed(names: Iterable[str], most: int = 12) -> str:
    """Name things one after the other; of many, the first."""
    every: Sequence[str] = [repr(name) for name in names]
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
