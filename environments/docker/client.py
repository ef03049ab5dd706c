"""The Docker daemon: finding it, and saying in our own words what it refuses."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ...errors import EnvironmentFailed

__all__ = ["connect", "connected", "translated"]


def connect() -> Any:
    """Give a client of the daemon: that of DOCKER_HOST, else that of the current Docker context.

    Raises:
        EnvironmentFailed: No daemon answers.
    """
    import docker
    from docker.errors import DockerException

    try:
        if os.environ.get("DOCKER_HOST"):
            return docker.from_env()
        host, tls = _context()
        return docker.DockerClient(base_url=host, tls=tls or False)
    except (DockerException, OSError) as error:
        where = os.environ.get("DOCKER_HOST") or "its usual address"
        raise EnvironmentFailed(
            f"No Docker daemon answers at {where} ({_reason(error)}): is Docker running, and may you use it?"
            " Start it, or choose another environment, such as --environment uv."
        ) from error


@contextmanager
def connected(what: str) -> Generator[Any]:
    """Give a client for as long as the block runs; errors inside say that `what` has failed."""
    client = connect()
    try:
        with translated(what):
            yield client
    finally:
        client.close()


@contextmanager
def translated(what: str) -> Generator[None]:
    """Turn what the daemon and its client refuse into a sentence that begins with `what`.

    Raises:
        EnvironmentFailed: Something was refused, or the daemon went away.
    """
    import requests
    from docker.errors import DockerException

    try:
        yield
    except (DockerException, requests.RequestException) as error:
        raise EnvironmentFailed(f"{what} ({_reason(error)}).") from error


def _context() -> tuple[str | None, Any]:
    """Give the address that `docker context use` has chosen, as the command line of Docker would take it."""
    from docker.context import ContextAPI

    context: Any = ContextAPI.get_current_context()
    return (context.Host, context.TLSConfig) if context else (None, None)


def _reason(error: BaseException) -> str:
    said = str(getattr(error, "explanation", None) or error)
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:  # the system's own words, below three layers of others
            said = inner.strerror
        inner = inner.__cause__ or inner.__context__
    reason = " ".join(said.split()).rstrip(".")
    return reason if len(reason) <= 400 else reason[:400].rsplit(" ", 1)[0] + " ..."
