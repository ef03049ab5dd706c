"""The state of a Git repository: its commit, and what differs from it as one patch that `git apply` takes.

Git is asked with an index of our own, so that neither the repository nor what the user has staged is touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..addresses import without_credentials

__all__ = ["CodeState", "Patch", "code_state", "make_patch"]

_TIMEOUT = 20
_MAX_FILE = 2 << 20
_MAX_TOTAL = 20 << 20
_MAX_FILES = 2000
_BATCH = 400  # paths of one command
_SHOWN = 200  # files that are left out and named
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_PRIVATE = (".env", ".netrc", ".pypirc", "id_rsa", "id_ed25519", "credentials")
_PRIVATE_SUFFIXES = (".pem", ".key", ".p12", ".pfx", ".keystore")
# What users have configured must not change what a patch looks like, nor start programs of theirs.
_PLAIN = ("-c", "core.quotePath=false", "-c", "core.fsmonitor=false", "-c", "diff.noprefix=false")
# What Git sets for its hooks would lead to the repository that the hook belongs to.
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
_DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--ignore-submodules=dirty")


@dataclass(frozen=True)
class CodeState:
    """Where a repository stands.

    Attributes:
        root: Its folder.
        commit: The commit that is checked out, or None where there is none yet.
        branch: The branch, or None where none is checked out.
        remote: Address of its remote without credentials, or None.
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


@dataclass(frozen=True)
class Patch:
    """What differs from a commit.

    Attributes:
        content: The patch; text before the first file says to what it belongs and what is left out.
        left_out: Files that are not in it, each with the reason.
    """

    content: bytes
    left_out: Mapping[str, str]


def code_state(folder: Path, *, ignored: Iterable[Path] = ()) -> CodeState | None:
    """Look at the repository around a folder; None outside of one, or where Git is missing.

    Args:
        folder: A folder in the repository.
        ignored: Folders whose files are no code, such as our own.
    """
    found = _git(folder, "rev-parse", "--show-toplevel")
    if not found:
        return None
    root = Path(os.fsdecode(found).rstrip("\n"))
    answer = _git(root, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames")
    if answer is None:
        return None
    header, changed, untracked = _read_status(answer)
    ours = [os.path.realpath(path) + os.sep for path in ignored]
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
    known = os.fsdecode(_git(root, "remote") or b"").split()
    for name in (upstream, "origin", *known):
        if name in known and (url := _git(root, "remote", "get-url", name)):
            return without_credentials(os.fsdecode(url).strip())
    return None


def _sizes(state: CodeState, base: str) -> dict[str, int]:
    """Give how many bytes of each file a patch may have to hold: the larger one of before and now."""
    before = dict.fromkeys(state.changed, 0)
    for batch in _batches(state.changed):
        for line in os.fsdecode(_git(state.root, "ls-tree", "-lrz", base, "--", *batch) or b"").split("\0"):
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
        more = _aside(state.root, folder)
        new = set(state.untracked)
        parts: list[bytes] = []
        for batch in _batches(paths):
            if intended := [path for path in batch if path in new]:
                _git(state.root, "add", "--intent-to-add", "--", *intended, more=more)
            part = _git(state.root, *_DIFF, "--binary", "--full-index", base, "--", *batch, more=more)
            if part is None:
                left_out |= dict.fromkeys(batch, "Git gave no patch")
            parts.append(part or b"")
    return b"".join(parts)


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
    paths = os.fsdecode(_git(root, "rev-parse", "--git-path", "index", "--git-path", "objects") or b"").split("\n")
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


def _git(folder: Path, *arguments: str, more: Mapping[str, str] | None = None) -> bytes | None:
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
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None
