"""The filter language: parsed by a grammar, compiled to SQLAlchemy expressions, never to strings."""

from __future__ import annotations

from .fields import Column, Fields, compile_filter
from .parse import parse_column, parse_filter, parse_order

__all__ = ["Column", "Fields", "compile_filter", "parse_column", "parse_filter", "parse_order"]
