"""A comparison as one HTML page that needs nothing else: its data, plotly's script and our own lie inside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from ...errors import PrefectMLError
from ..text import xml_text

__all__ = ["compare_page", "json_for_html"]

_SCRIPTS = ("state", "format", "look", "table", "controls", "curves", "parallel", "relations", "importance", "main")
_MARK = re.compile(r"\{\{(\w+)\}\}")


def compare_page(title: str, data: Mapping[str, Any]) -> str:
    """Write the page.

    The page's policy allows the two scripts that it holds, by their digests, and no connection: whatever a name or a
    value contains, it is shown as text.

    Args:
        title: Title of the page.
        data: What the page's script shows; plain values only.

    Raises:
        PrefectMLError: plotly's script is not where plotly installs it.
    """
    script = "\n".join(['(() => {\n"use strict";', *(_asset(f"{name}.js") for name in _SCRIPTS), "})();"])
    parts = {
        "title": xml_text(title),
        "policy": f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline';"
        f" script-src {_digest(_plotly())} {_digest(script)}",
        "style": _asset("compare.css"),
        "data": json_for_html(data),
        "plotly": _plotly(),
        "script": script,
    }
    return _MARK.sub(lambda mark: parts[mark[1]], _asset("compare.html"))


def json_for_html(value: Any) -> str:
    """Write JSON that can stand in a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return (files(__package__ or "") / "assets" / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    path = files("plotly") / "package_data" / "plotly.min.js"
    try:
        # A browser reads carriage returns as line ends, and the digest is that of what it reads.
        return path.read_text(encoding="utf-8").replace("\r\n", "\n").strip()
    except OSError as error:
        raise PrefectMLError(f"plotly's script is not at {path} ({error}); install plotly again.") from error
