"""Text for reports: any name, value or moment, made safe for the place where it is shown."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from xml.sax.saxutils import escape

__all__ = ["duration", "markdown_text", "mermaid_text", "number", "shorten", "xml_text"]

# What XML 1.0 cannot carry at all, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# An underscore between two letters or digits marks nothing up.
_MARKUP = re.compile(r"([\\`*\[\]<>|~#!&$]|(?<![^\W_])_|_(?![^\W_]))")


def shorten(text: str, limit: int) -> str:
    """Give `text` on one line and in at most `limit` characters."""
    line = " ".join(_NOT_XML.sub("\ufffd", text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def xml_text(text: str, limit: int = 200) -> str:
    """Escape text for an XML element."""
    return escape(shorten(text, limit))


def markdown_text(text: str, limit: int = 200) -> str:
    """Escape text so that markdown, a table's cell included, shows it as it is."""
    return _MARKUP.sub(r"\\\1", shorten(text, limit))


def mermaid_text(text: str, limit: int = 200) -> str:
    """Escape text for a quoted label of mermaid, which is HTML and has codes of its own for characters."""
    return "".join(one if one.isalnum() or one in " -_.," else f"#{ord(one)};" for one in shorten(text, limit))


def number(value: float, digits: int = 6) -> str:
    """Write a number with so many significant digits; what is not finite in the words that JSON answers use."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if 10**digits <= abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def duration(span: timedelta) -> str:
    """Write a time span as people say it: 0.8 s, 12 s, 3 min 5 s, 2 h 10 min."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
