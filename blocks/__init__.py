"""What a team configures once, in Prefect: the tracking store, the artifact store, where models are served.

Prefect imports this module to learn the block types (entry point `prefect.collections`), so it imports nothing heavy.
"""

from __future__ import annotations

from .serving import ProcessServer
from .stores import ArtifactStore, TrackingStore

__all__ = ["ArtifactStore", "ProcessServer", "TrackingStore"]
