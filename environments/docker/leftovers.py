"""Containers whose process has died without ending them: known by their labels, and removed."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import asdict
from typing import Any

from ...processes import Owner, is_alive, this_process
from .client import connected

__all__ = ["labels", "remove_leftovers", "removed"]

_OWNER = "prefect-ml.owner"
_HOST = "prefect-ml.host"


def labels() -> dict[str, str]:
    """Give the labels that say which process of which machine a container belongs to."""
    return {_OWNER: json.dumps(asdict(this_process())), _HOST: socket.gethostname()}


def remove_leftovers(client: Any = None) -> list[str]:
    """Remove the containers of processes of this machine that have ended, and give their names.

    Args:
        client: Client of the daemon; by default one of its own.

    Raises:
        EnvironmentFailed: No daemon answers.
    """
    if client is None:
        with connected("Containers that are left over cannot be removed") as own:
            return remove_leftovers(own)
    wanted = {"label": f"{_HOST}={socket.gethostname()}"}
    containers = client.containers.list(all=True, filters=wanted, ignore_removed=True)
    return [container.name for container in containers if _is_left(container.labels) and removed(container)]


def removed(container: Any) -> bool:
    """Remove a container with what runs in it; say whether it was still there."""
    from docker.errors import APIError, NotFound

    try:
        container.remove(force=True, v=True)
    except NotFound:
        return False
    except APIError as error:
        if error.status_code != 409:  # somebody else is removing it
            raise
        return False
    return True


def _is_left(found: dict[str, str]) -> bool:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return not is_alive(Owner(**json.loads(found[_OWNER])))
    return False
