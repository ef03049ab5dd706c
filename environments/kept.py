"""One thing that is kept on this host so that it need not be built again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

__all__ = ["Kept"]


@dataclass(frozen=True)
class Kept:
    """Something that the folder of environments holds, or an image that was built for it.

    Attributes:
        digest: Its name: that of the environment's declaration, of the sources in the wheel, or of the image.
        kind: uv or conda for an environment, `image` for one of Docker, `unfinished` for what a build has left,
            `wheel` for one of prefect-ml.
        origin: Where the environment was declared when it was built, or the image's names; empty for the rest.
        last_used: When it was asked for, to the hour; for the rest, when it was written.
        in_use: Whether a process runs in it, or there is a container of it.
        size: Bytes that only it holds: neither files shared with uv's cache nor the image below count.
        path: Its folder; for an image, the file that says what it holds.
    """

    digest: str
    kind: Literal["uv", "conda", "image", "unfinished", "wheel"]
    origin: str
    last_used: datetime
    in_use: bool
    size: int
    path: Path
