"""The signature of a model: what goes in and comes out, how it is written, and how data is held against it."""

from __future__ import annotations

from .fields import Column, Fields, Param, Tensor
from .kinds import Array, Kind, Map, Object, Property
from .plan import Plan
from .whole import Signature

__all__ = [
    "Array",
    "Column",
    "Fields",
    "Kind",
    "Map",
    "Object",
    "Param",
    "Plan",
    "Property",
    "Signature",
    "Tensor",
]
