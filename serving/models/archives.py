"""Model folders in archives, which may come from anybody."""

from __future__ import annotations

from pathlib import Path

from ...errors import ArtifactError
from ...store.artifacts.archives import BadArchive, Limits, entered, unpack

__all__ = ["unpacked_model"]

_LIMITS = Limits(size=64 * 2**30)


def unpacked_model(archive: Path, to: Path, *, shown: str) -> Path:
    """Unpack a model folder to `to` and give it; a single folder at the archive's top is entered.

    Raises:
        ArtifactError: It is no archive, or holds what would get out of its folder or fill the disk.
    """
    try:
        unpack(archive, to, limits=_LIMITS)
    except BadArchive as error:
        raise ArtifactError(f"{shown} {error}.") from error
    except OSError as error:
        raise ArtifactError(f"{shown} cannot be unpacked to {to} ({error.strerror}); make room there.") from error
    return entered(to)
