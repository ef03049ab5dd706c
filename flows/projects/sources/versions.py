"""Branches, tags and commits of a remote, and which of them a version names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ....errors import ProjectError
from .git import Git
from .refusals import no_such_version

__all__ = ["COMMIT", "Refs", "Wanted", "check_version", "read_refs", "wanted"]

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ABBREVIATED = re.compile(r"[0-9a-f]{4,63}", re.IGNORECASE)
_NO_NAME = re.compile(r"^-|[\s\0~^:?*\[\\]|\.\.|@\{")


@dataclass(frozen=True)
class Refs:
    """What a remote offers.

    Attributes:
        head: Commit of the default branch, or None.
        default: Name of the default branch, or None.
        branches: Commit of each branch by its name.
        tags: Commit of each tag by its name.
    """

    head: str | None
    default: str | None
    branches: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Wanted:
    """What a version stands for.

    Attributes:
        version: As it was given.
        commit: Full id; None where only the beginning is known.
        branch: The branch, if it is one.
        refs: What the remote offers.
    """

    version: str | None
    commit: str | None
    branch: str | None
    refs: Refs


def check_version(version: str | None) -> None:
    """Refuse what can be no name of a branch or tag and no commit.

    Raises:
        ProjectError: It is none.
    """
    if version is not None and (not version or _NO_NAME.search(version)):
        raise ProjectError(f"{version!r} is no version; give the name of a branch or tag, or the id of a commit.")


def read_refs(git: Git, remote: str) -> Refs:
    """Ask a remote what it offers.

    Raises:
        GitFailed: It cannot be asked.
    """
    answer = git.run("ls-remote", "--symref", "--", remote, "HEAD", "refs/heads/*", "refs/tags/*")
    found: dict[str, str] = {}
    default = None
    for line in answer.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            default = value.removeprefix("ref: refs/heads/")
        elif not value.startswith("ref: "):
            found[name] = value
    return Refs(found.get("HEAD"), default, _named(found, "refs/heads/"), _named(found, "refs/tags/"))


def wanted(refs: Refs, version: str | None, shown: str) -> Wanted:
    """Find what a version names: a branch before a tag, and both before a commit.

    Raises:
        ProjectError: The remote has no such thing.
    """
    if version is None:
        if refs.head is None:
            hint = f"name one of its branches: {', '.join(refs.branches)}" if refs.branches else "push a commit to it"
            raise ProjectError(f"The repository {shown} has no commit on its default branch; {hint}.")
        return Wanted(None, refs.head, refs.default, refs)
    branch, tag = version.removeprefix("refs/heads/"), version.removeprefix("refs/tags/")
    if branch in refs.branches:
        return Wanted(version, refs.branches[branch], branch, refs)
    if tag in refs.tags:
        return Wanted(version, refs.tags[tag], None, refs)
    if COMMIT.fullmatch(version.lower()):
        return Wanted(version, version.lower(), None, refs)
    if _ABBREVIATED.fullmatch(version):
        return Wanted(version, None, None, refs)
    raise no_such_version(version, shown, refs.branches, refs.tags)


def _named(found: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Give names without their prefix; of a tag with a message the commit counts, which is listed after it."""
    return {
        name.removeprefix(prefix).removesuffix("^{}"): value for name, value in found.items() if name.startswith(prefix)
    }
