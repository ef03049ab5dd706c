"""Identifiers of records: time-ordered, or derived from what they belong to."""

from __future__ import annotations

import os
import time
import uuid

__all__ = ["child_id", "new_id"]


def new_id(*, after: str | None = None) -> str:
    """Make a UUIDv7 (RFC 9562): 48 bits of milliseconds, then random bits, so that ids sort by time of birth.

    Args:
        after: An id that the new one must sort behind, even within one millisecond or on a slow clock.
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    made = str(uuid.UUID(int=value))
    return made if after is None or made > after else str(uuid.UUID(int=uuid.UUID(after).int + 1))


def child_id(parent: str, name: str, ordinal: int) -> str:
    """Derive the id of a child scope: the same parent, name and ordinal always give the same id."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{parent}\0{name}\0{ordinal}"))
