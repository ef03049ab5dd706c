"""Images: found on this machine, pulled, or built once under a tag that names what they were built from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from ...errors import EnvironmentFailed
from ..locks import alone
from ..uv import Report
from .client import translated

__all__ = ["build_once", "have_image", "image_here"]

_STEP = "Step "


def image_here(client: Any, name: str) -> Any | None:
    """Give an image of this machine by its name or id; None where it has none."""
    from docker.errors import ImageNotFound

    try:
        return client.images.get(name)
    except ImageNotFound:
        return None


def have_image(client: Any, name: str, *, origin: str, report: Report, advice: str = "") -> Any:
    """Give an image by its name; pull it where this machine has none.

    Args:
        client: Client of the daemon.
        name: Its name, or its id.
        origin: What names it; for messages.
        report: Told that it is pulled.
        advice: What to do where it cannot be had.

    Raises:
        EnvironmentFailed: It cannot be had.
    """
    if (found := image_here(client, name)) is not None:
        return found
    if name.startswith("sha256:"):
        raise EnvironmentFailed(f"{origin} names the image {name}, which this machine no longer has; build it again.")
    report(f"Pulling image {name} for {origin}")
    with translated(
        f"{origin} names the image {name!r}, which is not on this machine and cannot be pulled;"
        f" {advice or 'check its name and the network, or load the image with `docker load`'}"
    ):
        return client.images.pull(name)


def build_once(
    client: Any,
    tag: str,
    *,
    root: Path,
    packed: Callable[[], IO[bytes]],
    origin: str,
    report: Report,
) -> Any:
    """Give the image of a tag; build it where this machine has none, one builder at a time.

    Args:
        client: Client of the daemon.
        tag: `prefect-ml/what:digest`.
        root: Folder of all environments, for the lock.
        packed: Gives what it is built from, a tar with a Dockerfile.
        origin: What declares it; for messages.
        report: Called with each step of the build.

    Raises:
        EnvironmentFailed: It cannot be built.
    """
    if (found := image_here(client, tag)) is not None:
        return found
    lock = root / "docker" / tag.rpartition(":")[2]
    with alone(lock, waiting=lambda: report(f"Waiting for image {tag}, which another process is building")):
        if (found := image_here(client, tag)) is not None:
            return found
        report(f"Building image {tag} for {origin}")
        with translated(f"The image of {origin} cannot be built"), packed() as context:
            answer = client.api.build(
                fileobj=context, custom_context=True, encoding=None, tag=tag, rm=True, forcerm=True, decode=True
            )
            _follow(answer, origin, report)
            return client.images.get(tag)


def _follow(answer: Iterable[dict[str, Any]], origin: str, report: Report) -> None:
    for said in answer:
        if problem := said.get("error"):
            reason = " ".join(str(problem).split()).rstrip(".")
            advice = (
                "; build it yourself with `docker build`, and name the image in docker_env of MLproject"
                if "BuildKit" in reason
                else ""
            )
            raise EnvironmentFailed(f"The image of {origin} cannot be built: {reason}{advice}.")
        for line in str(said.get("stream") or "").splitlines():
            if line.startswith(_STEP):
                report(line)
