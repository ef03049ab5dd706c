"""What every realised environment can do, whatever its kind: run a shell command, and say what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

__all__ = ["Command", "Facts", "Realised"]


@dataclass(frozen=True)
class Facts:
    """What an environment holds.

    Attributes:
        python: Version of its Python, such as `3.11.7`; empty where it has none.
        platform: System, release and processor.
        packages: Version of each installed package by its name.
        lock: Text from which the same environment can be built again; empty where nothing can.
    """

    python: str
    platform: str
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    lock: str = ""


class Command(Protocol):
    """A command that runs in an environment, with all processes that it has started."""

    def lines(self) -> Iterator[str]:
        """Give each line that it prints, on either stream, as it comes; ends when the command has ended."""
        ...

    def wait(self) -> int:
        """Wait for its end and give the exit code; minus the signal's number where one has ended it."""
        ...

    def stop(self, *, grace: float) -> None:
        """End the whole tree of its processes: ask first, and kill what is left after `grace` seconds."""
        ...


class Realised(Protocol):
    """An environment that is ready on this machine."""

    @property
    def kind(self) -> str:
        """One of uv, conda, docker and system."""
        ...

    @property
    def digest(self) -> str:
        """Digest of its declaration: equal for equal ones."""
        ...

    def start(
        self, command: str, *, folder: Path, environ: Mapping[str, str], reachable: Sequence[Path] = ()
    ) -> Command:
        """Start a shell command.

        Args:
            command: What `/bin/sh` (bash where it exists) is to run.
            folder: Working directory; the project.
            environ: Variables to set beside those that the environment sets itself.
            reachable: Other files and folders of this machine that the command uses under the same path.

        Raises:
            EnvironmentFailed: It cannot be started.
        """
        ...

    def facts(self) -> Facts:
        """Say what the environment holds."""
        ...
