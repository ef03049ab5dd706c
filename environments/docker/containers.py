"""Containers in which a project's commands run: with its files, its run and its user, and nothing else of the caller.

The container shares the machine's network, so that addresses on localhost mean the same inside, and its process ids,
so that prefect-ml inside knows which processes of the machine live; both need a daemon on the same Linux.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...errors import EnvironmentFailed
from ..commands import Facts
from ..environment import import_path
from .client import connect, translated
from .command import ContainerCommand
from .declared import DeclaredImage
from .leftovers import labels, remove_leftovers, removed
from .places import mounts, variables, volumes
from .probe import Contents
from .watcher import Watcher

__all__ = ["DockerEnvironment"]

# The user's own HOME is not there, and that of the image may belong to somebody else.
# One stream for both outputs: Docker mixes two in any order.
_SCRIPT = (
    "exec 2>&1; "
    '[ -w "${HOME:-}" ] || { HOME=/tmp; export HOME; }; '
    'if command -v bash >/dev/null 2>&1; then exec bash -c "$1"; fi; exec /bin/sh -c "$1"'
)


@dataclass(frozen=True)
class DockerEnvironment:
    """An image on this machine, and how a project's containers are started from it.

    Attributes:
        image: Id of the image.
        declared: What declares it.
        contents: What it holds.
        defaults: Variables that the image itself sets.
    """

    image: str
    declared: DeclaredImage
    contents: Contents
    defaults: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def kind(self) -> Literal["docker"]:
        """What runs it."""
        return "docker"

    @property
    def digest(self) -> str:
        """The first 16 digits of the image's id."""
        return self.image.removeprefix("sha256:")[:16]

    def start(
        self, command: str, *, folder: Path, environ: Mapping[str, str], reachable: Sequence[Path] = ()
    ) -> ContainerCommand:
        """Start a shell command in a container of its own, as `Realised` says; the image's entry point stays.

        Files belong to the calling user. The project, prefect-ml's home, a local store and local artifacts lie under
        the same paths and can be written; `reachable` places can be read.
        """
        inside = self._variables(folder, environ)
        binds, places = volumes(self.declared), mounts(folder, inside, reachable)
        client = connect()
        watcher = Watcher()
        try:
            with translated(f"The container of {self.declared.origin} cannot be started"):
                remove_leftovers(client)
                user = _user(client)
                container = client.containers.create(
                    self.image,
                    ["/bin/sh", "-c", _SCRIPT, "sh", command],
                    name=f"prefect-ml-{uuid.uuid4().hex[:12]}",
                    environment=inside,
                    working_dir=str(folder.absolute()),
                    mounts=places,
                    volumes=binds,
                    user=user,
                    labels=labels(),
                    **_SHARED,
                )
                _started(container)
        except BaseException:
            watcher.end()
            client.close()
            raise
        return ContainerCommand(client, container, watcher, user=user)

    def facts(self) -> Facts:
        """Say what the image holds; its lock names the image and, to read, its packages."""
        packages = dict(sorted(self.contents.packages.items()))
        own = "yes" if "prefect-ml" in packages else "no"
        head = f"# prefect-ml environment: docker\n# image: {self.image}\n# name: {self._name()}\n"
        head += f"# python: {self.contents.python}\n# with prefect-ml: {own}\n"
        lines = "".join(f"{name}=={version}\n" for name, version in packages.items())
        return Facts(self.contents.python, self.contents.platform, packages, head + lines)

    def _name(self) -> str:
        return self.declared.image or self.declared.origin

    def _variables(self, folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
        inside = variables(self.declared, environ, os.environ)
        if self.declared.python is not None and (sources := import_path(folder)):
            path = inside.get("PYTHONPATH") or self.defaults.get("PYTHONPATH")
            inside["PYTHONPATH"] = os.pathsep.join(filter(None, [str(sources), path]))
        return inside


_SHARED: Mapping[str, Any] = {
    "network_mode": "host",
    "pid_mode": "host",
    "userns_mode": "host",  # a daemon that maps users would give the files to somebody else
    "log_config": {"Type": "json-file"},  # the lines are read from there, whatever the daemon does otherwise
    "stdin_open": False,
}


def _user(client: Any) -> str:
    """Say who runs inside: the caller; in a daemon that is the caller's own, its root is the caller."""
    options: list[str] = client.info().get("SecurityOptions") or []
    rootless = any("rootless" in option for option in options)
    return "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"


def _started(container: Any) -> None:
    try:
        container.start()
    except BaseException as error:
        removed(container)
        if "/bin/sh" in str(error):
            raise EnvironmentFailed("The image has no shell /bin/sh, so no command can run in it.") from error
        raise
