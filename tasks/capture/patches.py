"""What differs from the commit of a repository, as one patch that `git apply` takes.

Git is asked with an index of our own, so that neither the repository nor what the user has staged is touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .code_state import TIMEOUT, CodeState, ask_git

__all__ = ["Patch", "make_patch"]

_MAX_FILE = 2 << 20
_MAX_TOTAL = 20 << 20
_MAX_FILES = 2000
_BATCH = 400  # paths of one command
_SHOWN = 200  # files that are left out and named
_UNREADABLE = "it could not be read"
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_PRIVATE = (".env", ".netrc", ".pypirc", "id_rsa", "id_ed25519", "credentials")
_PRIVATE_SUFFIXES = (".pem", ".key", ".p12", ".pfx", ".keystore")
_DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--ignore-submodules=dirty")


@dataclass(frozen=True)
class Patch:
    """What differs from a commit.

    Attributes:
        content: The patch; text before the first file says to what it belongs and what is left out.
        left_out: Files that are not in it, each with the reason.
    """

    content: bytes
    left_out: Mapping[str, str]

    @property
    def unread(self) -> list[str]:
        """Those of them that cannot be read."""
        return [path for path, reason in self.left_out.items() if reason == _UNREADABLE]


def make_patch(state: CodeState) -> Patch:
    """Make the patch that turns the commit into the tree as it is, but for what is too big or looks secret."""
    base = state.commit or _EMPTY_TREE
    sizes = _sizes(state, base)
    left_out: dict[str, str] = {}
    taken: list[str] = []
    untracked = set(state.untracked)
    total = 0
    for path, size in sizes.items():
        reason = _objection(path, size, total, new=path in untracked)
        if not reason and len(taken) == _MAX_FILES:
            reason = f"more than {_MAX_FILES} files"
        if reason:
            left_out[path] = reason
        else:
            taken.append(path)
            total += size
    content = _diff(state, base, taken, left_out)
    return Patch(os.fsencode(_head(state, left_out)) + content, left_out)


def _head(state: CodeState, left_out: Mapping[str, str]) -> str:
    lines = [f"# What differed from commit {state.commit or '(none)'}; `git apply` brings it back."]
    lines += [f"# Left out: {path!r} ({reason})" for path, reason in list(left_out.items())[:_SHOWN]]
    if len(left_out) > _SHOWN:
        lines.append(f"# Left out: {len(left_out) - _SHOWN} more files")
    return "\n".join([*lines, "", ""])


def _sizes(state: CodeState, base: str) -> dict[str, int]:
    """Give how many bytes of each file a patch may have to hold: the larger one of before and now."""
    before = dict.fromkeys(state.changed, 0)
    for batch in _batches(state.changed):
        for line in os.fsdecode(ask_git(state.root, "ls-tree", "-lrz", base, "--", *batch) or b"").split("\0"):
            facts, _, path = line.partition("\t")
            size = facts.rpartition(" ")[2]
            if path in before and size.isdecimal():
                before[path] = int(size)
    now = {path: _size(state.root / path) for path in (*state.changed, *state.untracked)}
    return {path: max(size, before.get(path, 0)) for path, size in now.items()}


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0  # removed


def _objection(path: str, size: int, total: int, *, new: bool) -> str | None:
    name = path.rpartition("/")[2].lower()
    if path.endswith("/"):
        return "a repository of its own"
    if new and (name.startswith(_PRIVATE) or name.endswith(_PRIVATE_SUFFIXES)):
        return "its name says that it is secret"
    if size > _MAX_FILE:
        return f"{size} bytes, more than {_MAX_FILE}"
    return f"all together more than {_MAX_TOTAL} bytes" if total + size > _MAX_TOTAL else None


def _diff(state: CodeState, base: str, paths: list[str], left_out: dict[str, str]) -> bytes:
    with _folder() as folder:
        until = time.monotonic() + TIMEOUT
        asked = _Asked(state.root, frozenset(state.untracked), base, _aside(state.root, folder), until, left_out)
        return b"".join(part for batch in _batches(paths) for part in asked.parts(batch))


@dataclass(frozen=True)
class _Asked:
    """Git, asked for parts of a patch; after a time, parts that it refuses are left out whole."""

    root: Path
    untracked: frozenset[str]
    base: str
    more: Mapping[str, str]
    until: float
    left_out: dict[str, str]

    def parts(self, paths: list[str]) -> Iterator[bytes]:
        """Give the patch of some files: Git gives nothing for all of them where it refuses one."""
        part = self._part(paths)
        if part is not None:
            yield part
        elif time.monotonic() > self.until:
            self.left_out.update(dict.fromkeys(paths, "Git took too long"))
        elif len(paths) > 1:
            yield from self.parts(paths[: len(paths) // 2])
            yield from self.parts(paths[len(paths) // 2 :])
        elif os.path.lexists(place := self.root / paths[0]):  # else it was removed meanwhile
            self.left_out[paths[0]] = "Git gave no patch" if os.access(place, os.R_OK) else _UNREADABLE

    def _part(self, paths: list[str]) -> bytes | None:
        new = [path for path in paths if path in self.untracked]
        if new and ask_git(self.root, "add", "--intent-to-add", "--", *new, more=self.more) is None:
            return None
        return ask_git(self.root, *_DIFF, "--binary", "--full-index", self.base, "--", *paths, more=self.more)


@contextlib.contextmanager
def _folder() -> Generator[Path]:
    # Those of tempfile.TemporaryDirectory are removed when the process begins to end, and that is when we may be here.
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _aside(root: Path, folder: Path) -> dict[str, str]:
    """Give the variables under which Git works on a copy of the index and writes objects to a folder of ours."""
    paths = os.fsdecode(ask_git(root, "rev-parse", "--git-path", "index", "--git-path", "objects") or b"").split("\n")
    index, objects = (root / path for path in paths[:2])
    if index.is_file():
        shutil.copyfile(index, folder / "index")
    others = [str(objects), *filter(None, [os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")])]
    return {
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(folder),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(others),
    }


def _batches(paths: Iterable[str]) -> Iterable[list[str]]:
    every = list(paths)
    return [every[start : start + _BATCH] for start in range(0, len(every), _BATCH)]
