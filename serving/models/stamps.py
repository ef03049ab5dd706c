"""Verifying model folders once: a file that is as it was when its bytes were compared is not read again.

What tells is its size, its inode and its times. The time of the last change of an inode cannot be set by anybody, but
it moves in ticks: a file that was changed a moment ago could be changed again within the same tick. So what is noted
was seen some ticks after the last change.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any, cast

from ..runtime.manifest import ManifestError, files_in, verify

__all__ = ["verified"]

_TICKS = 0.05
_Stamps = dict[str, list[int]]


def verified(folder: Path, note: Path) -> str:
    """Compare every file with the manifest, unless all are as noted, and give the manifest's digest.

    Args:
        folder: A model folder.
        note: Where is noted how the files were when they were compared; no harm is done where it cannot be written.

    Raises:
        ManifestError: A file is changed, missing, or not listed.
    """
    stamps = _stamps(folder)
    if digest := _noted(note, stamps):
        return digest
    settled = _settle(stamps)
    digest = verify(folder)
    if _stamps(folder) != stamps:
        raise ManifestError("a file was changed while it was read")
    if settled:
        with contextlib.suppress(OSError):
            _write(note, digest, stamps)
    return digest


def _stamps(folder: Path) -> _Stamps:
    return {
        name: [found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns]
        for name, found in files_in(folder).items()
    }


def _settle(stamps: _Stamps) -> bool:
    """Wait until the last change is some ticks ago; say no where a clock is ahead, as no tick can be told then."""
    youngest = max((changed for *_, changed in stamps.values()), default=0) / 1e9
    ago = time.time() - youngest
    if 0 <= ago < _TICKS:
        time.sleep(_TICKS - ago)
    return ago >= 0


def _noted(note: Path, stamps: _Stamps) -> str | None:
    try:
        content: Any = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or cast("dict[str, Any]", content).get("files") != stamps:
        return None
    return str(cast("dict[str, Any]", content)["digest"])


def _write(note: Path, digest: str, stamps: _Stamps) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    arriving = note.with_name(f"{note.name}.{uuid.uuid4().hex}")
    arriving.write_text(json.dumps({"digest": digest, "files": stamps}))
    os.replace(arriving, note)
