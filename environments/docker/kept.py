"""Images that prefect-ml has built: those that were used from this folder of environments, and one of them removed."""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone
from itertools import takewhile
from pathlib import Path
from typing import Any

from ...errors import EnvironmentFailed
from ..kept import Kept
from ..locks import alone_if_free, lock_of
from .client import connected
from .images import image_here

__all__ = ["kept_images", "remove_image"]

_BUILT = ("prefect-ml/python", "prefect-ml/project")


def kept_images(root: Path) -> list[Kept]:
    """List the built images that were used from a folder of environments; none where no Docker daemon answers.

    Other folders of environments may use the same daemon; what only they have used is theirs to remove.
    """
    records = {file.stem: file for file in (root / "docker").glob("*.json")}
    if not records:
        return []
    with contextlib.suppress(EnvironmentFailed), connected("Docker does not say which images it has") as client:
        used = {container["ImageID"] for container in client.api.containers(all=True)}
        images = client.images.list(filters={"reference": list(_BUILT)})
        known = [(image, records[name]) for image in images if (name := image.id.removeprefix("sha256:")) in records]
        return [_kept(image, record, in_use=image.id in used) for image, record in known]
    return []


def remove_image(record: Path, *, oldest: float) -> bool:
    """Remove an image; give False where it is in use, or was used after `oldest`.

    Args:
        record: The file that says what the image holds.
        oldest: Seconds since 1970.

    Raises:
        EnvironmentFailed: The daemon refuses it.
    """
    with connected("An image that nobody uses cannot be removed") as client:
        image = image_here(client, f"sha256:{record.stem}")
        if not all(_remove_tag(client, tag, record, oldest) for tag in _tags(image)):
            return False
    record.unlink(missing_ok=True)
    return True


def _remove_tag(client: Any, tag: str, record: Path, oldest: float) -> bool:
    from docker.errors import APIError, ImageNotFound

    lock = record.parent / tag.rpartition(":")[2]
    with alone_if_free(lock) as free:
        if not free or record.stat().st_mtime > oldest:  # somebody has asked for it a moment ago
            return False
        try:
            client.images.remove(tag)
        except ImageNotFound:  # somebody else has just removed it
            pass
        except APIError as error:
            if error.status_code != 409:  # a container was made of it meanwhile
                raise
            return False
        lock_of(lock).unlink(missing_ok=True)
    return True


def _kept(image: Any, record: Path, *, in_use: bool) -> Kept:
    used = datetime.fromtimestamp(record.stat().st_mtime, timezone.utc)
    return Kept(record.stem[:16], "image", " ".join(_tags(image)), used, in_use, _own_size(image), record)


def _tags(image: Any | None) -> list[str]:
    return [tag for tag in image.tags if tag.rpartition(":")[0] in _BUILT] if image else []


def _own_size(image: Any) -> int:
    """Add up the layers above the image that it was built from, which has a name of its own."""
    last, *steps = image.history()
    return sum(step["Size"] for step in [last, *takewhile(lambda step: not step["Tags"], steps)])
