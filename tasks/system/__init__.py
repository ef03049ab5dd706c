"""System metrics: what the machine and this process do while a run is open."""

from __future__ import annotations

from .sampler import sampler

__all__ = ["sampler"]
