"""The state of a Git repository: its commit, where it comes from, and which files differ."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..addresses import is_url, without_credentials

__all__ = ["TIMEOUT", "CodeState", "ask_git", "code_state"]

TIMEOUT = 20
"""Seconds that Git has for an answer."""
# What users have configured must not change what a patch looks like, nor start programs of theirs.
_PLAIN = ("-c", "core.quotePath=false", "-c", "core.fsmonitor=false", "-c", "diff.noprefix=false")
# What Git sets for its hooks would lead to the repository that the hook belongs to.
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")


@dataclass(frozen=True)
class CodeState:
    """Where a repository stands.

    Attributes:
        root: Its folder.
        commit: The commit that is checked out, or None where there is none yet.
        branch: The branch, or None where none is checked out.
        remote: Address of its remote without credentials, a relative path made absolute, or None.
        changed: Files that are tracked and differ from the commit, relative to the root.
        untracked: Files that are neither tracked nor ignored.
    """

    root: Path
    commit: str | None
    branch: str | None
    remote: str | None
    changed: tuple[str, ...]
    untracked: tuple[str, ...]

    @property
    def dirty(self) -> bool:
        """Whether anything differs from the commit."""
        return bool(self.changed or self.untracked)


def code_state(folder: Path, *, ignored: Iterable[Path] = ()) -> CodeState | None:
    """Look at the repository around a folder; None outside of one, or where Git is missing.

    Args:
        folder: A folder in the repository.
        ignored: Folders whose files are no code, such as our own.
    """
    found = ask_git(folder, "rev-parse", "--show-toplevel")
    if not found:
        return None
    root = Path(os.fsdecode(found).rstrip("\n"))
    answer = ask_git(root, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames")
    if answer is None:
        return None
    header, changed, untracked = _read_status(answer)
    real = os.path.realpath(root) + os.sep
    # Of a repository that lies in such a folder itself, a copy that a run works in, all files are code.
    ours = [one for path in ignored if not real.startswith(one := os.path.realpath(path) + os.sep)]
    kept = [one for one in untracked if not os.path.realpath(root / one).startswith(tuple(ours))] if ours else untracked
    commit = header.get("branch.oid")
    branch = header.get("branch.head")
    return CodeState(
        root,
        commit if commit != "(initial)" else None,
        branch if branch != "(detached)" else None,
        _remote(root, header.get("branch.upstream", "").partition("/")[0]),
        tuple(changed),
        tuple(kept),
    )


def _read_status(answer: bytes) -> tuple[dict[str, str], list[str], list[str]]:
    header: dict[str, str] = {}
    changed: list[str] = []
    untracked: list[str] = []
    for line in os.fsdecode(answer).split("\0"):
        kind, _, rest = line.partition(" ")
        if kind == "#":
            name, _, value = rest.partition(" ")
            header[name] = value
        elif kind == "1":
            changed.append(rest.split(" ", 7)[7])
        elif kind == "u":
            changed.append(rest.split(" ", 9)[9])
        elif kind == "?":
            untracked.append(rest)
    return header, changed, untracked


def _remote(root: Path, upstream: str) -> str | None:
    known = os.fsdecode(ask_git(root, "remote") or b"").split()
    for name in (upstream, "origin", *known):
        if name in known and (url := ask_git(root, "remote", "get-url", name)):
            return _address(root, os.fsdecode(url).strip())
    return None


def _address(root: Path, url: str) -> str:
    """Give the address of a remote as it is known elsewhere, too: neither with a secret nor relative to a folder."""
    is_path = not is_url(url) and ":" not in url.partition("/")[0]  # else a host, as in git@host:team/project.git
    return os.path.normpath(root / Path(url).expanduser()) if is_path else without_credentials(url)


def ask_git(folder: Path, *arguments: str, more: Mapping[str, str] | None = None) -> bytes | None:
    """Give what Git answers, with nothing of the repository changed; None where it fails or takes too long.

    Args:
        folder: Where it is asked.
        arguments: The command.
        more: Environment variables beside those of this process.
    """
    command = ["git", *_PLAIN, "-c", "diff.mnemonicPrefix=false", *arguments]
    # Paths are paths and no patterns, and nothing of the repository is written by the way.
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
    environ = {**inherited, "GIT_LITERAL_PATHSPECS": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **(more or {})}
    try:
        answer = subprocess.run(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None
