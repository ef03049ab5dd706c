"""What became of an address: a folder on this machine, and what has to be remembered of where it came from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Fetched", "Report", "silent"]

Report = Callable[[str], None]
"""Told each step that may take long, in one line."""


@dataclass(frozen=True)
class Fetched:
    """A project's files on this machine.

    Attributes:
        folder: The project; below `root` where the address names a sub-folder.
        root: What was fetched: the folder, the whole repository, or what the archive holds.
        uri: The address as a record may hold it, without credentials.
        subfolder: The sub-folder that the address names, relative to the root; empty where it names none.
        version: The branch, tag or commit asked for; None where none was.
        commit: Full id of the commit; None for what Git does not know.
        branch: The branch that was taken; None where it is a tag, a commit, or no repository.
        remote: Address of the repository without credentials; None where there is none.
        dirty: Whether files differ from the commit; None where there is no commit.
        digest: sha256 of the zip, or of a remote folder's content; None for others.
        in_place: Whether it is the user's own folder. Anything else lies in the cache and must not be changed: a run
            works in a copy, which `workspace` and `checkout` make.
        packed: Whether it lies in an image, with a file that says where it comes from, and without its repository.
        inside: Where in its repository the user's own folder lies; None where there is none, or for anything else.
    """

    folder: Path
    root: Path
    uri: str
    subfolder: str = ""
    version: str | None = None
    commit: str | None = None
    branch: str | None = None
    remote: str | None = None
    dirty: bool | None = None
    digest: str | None = None
    in_place: bool = False
    packed: bool = False
    inside: str | None = None

    @property
    def place(self) -> str:
        """Where the project lies in its repository, or else in what the address names; empty at the top."""
        return self.subfolder if self.inside is None else self.inside

    def named(self, message: str) -> str:
        """Name files of a project that lies in the cache, in what is said of it, as parts of its address."""
        if self.in_place:
            return message
        inside = self.uri + ("/" if "#" in self.uri else "#")
        return message.replace(f"{self.folder}{os.sep}", inside).replace(str(self.folder), self.uri)


def silent(_: str) -> None:
    """Report nothing."""
