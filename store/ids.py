"""Identifiers of records: time-ordered, or derived from what they belong to."""

from __future__ import annotations

import os
import time
import uuid

__all__ = ["child_id", "new_id"]


def new_id() -> str:
    """Make a UUIDv7 (RFC 9562): 48 bits of milliseconds, then random bits, so that ids sort by time of birth."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def child_id(parent: str, name: str, ordinal: int) -> str:
    """Derive the id of a child scope: the same parent, name and ordinal always give the same id."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{parent}\0{name}\0{ordinal}"))
