"""The filter language: parsed by a grammar, compiled to SQLAlchemy expressions, never to strings."""

from __future__ import annotations

from .fields import RUN_FIELDS, Column, Fields, order_terms
from .parse import compile_filter

__all__ = ["RUN_FIELDS", "Column", "Fields", "compile_filter", "order_terms"]
