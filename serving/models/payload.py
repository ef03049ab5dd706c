"""What two models have in common that differ only by who logged them, and when."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..runtime.descriptor import DESCRIPTOR, descriptor_content
from ..runtime.manifest import MANIFEST, parse_manifest

__all__ = ["payload_digest"]

_OF_THE_MOMENT = ("model_uuid", "run_id", "utc_time_created")


def payload_digest(folder: Path) -> str:
    """Give the sha256 of all that a saved model is, but for its run, its id and its time."""
    files, _ = parse_manifest((folder / MANIFEST).read_bytes())
    said = {name: value for name, value in descriptor_content(folder).items() if name not in _OF_THE_MOMENT}
    rest = {name: entry for name, entry in files.items() if name != DESCRIPTOR}
    # Dates are the only values of YAML that JSON has no word for.
    canonical = json.dumps([said, rest], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
