"""Git repositories in the cache: one bare clone for each remote, and one finished tree for each commit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ....errors import ProjectError
from ....locks import locked
from ....settings import Settings
from .address import Address, Login
from .cache import arriving_in, key_of, projects_of, remove_tree, touch
from .git import Git, GitFailed, signed_in
from .model import Report
from .refusals import ambiguous_version, no_such_version, refusal
from .versions import COMMIT, Wanted, check_version, read_refs, wanted

__all__ = ["Tree", "tree_of"]

_EVERYTHING = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
# How servers say that they do not give a single commit, which is no reason to give up.
_ONLY_WHOLE = re.compile(
    r"not our ref|unadvertised|not allowed|find remote ref|no such remote ref|shallow", re.IGNORECASE
)
# What a process that was killed may have left of our own clone, which then is made anew.
_BROKEN = re.compile(r"\.lock'|corrupt|bad object|missing|packfile|object file|bad config|not a git repository")


@dataclass(frozen=True)
class Tree:
    """The files of a commit in the cache, with a small repository of their own.

    Attributes:
        folder: Its top folder.
        commit: Full id of the commit.
        branch: The branch that it was taken from, if it was one.
    """

    folder: Path
    commit: str
    branch: str | None


@dataclass(frozen=True)
class _Clone:
    """A remote, and the cache's clone of it.

    Attributes:
        cache: Folder of all that is fetched from there.
    """

    git: Git
    address: Address
    cache: Path
    with_login: bool

    @property
    def bare(self) -> Path:
        return self.cache / "repository.git"

    def run(self, *arguments: str) -> str:
        return self.git.run(f"--git-dir={self.bare}", *arguments)

    def tree(self, commit: str) -> Path:
        # By its own name, because people read it in listings and a project may be called like its folder.
        return self.cache / commit / (self.address.name or "project")

    def holds(self, commit: str) -> bool:
        try:
            self.run("cat-file", "-e", f"{commit}^{{commit}}")
        except GitFailed:
            return False
        return True

    def refused(self, failed: GitFailed) -> ProjectError:
        return refusal(failed, self.address.shown, with_login=self.with_login)


def tree_of(address: Address, version: str | None, *, login: Login | None, settings: Settings, report: Report) -> Tree:
    """Give the files of a version, fetched unless they are here.

    A commit that is here already is given without asking the remote; the remote is asked each time where a branch or
    tag is now.

    Args:
        address: Of the repository.
        version: Branch, tag or commit, which may be abbreviated; the default branch if None.
        login: For a private repository.
        settings: Where the cache is.
        report: Told what takes long.

    Raises:
        ProjectError: The repository cannot be reached, or has no such version.
    """
    check_version(version)
    cache = projects_of(settings) / key_of(address.location, address.name)
    with signed_in(login, address.location) as git:
        clone = _Clone(git, address, cache, login is not None)
        if version and COMMIT.fullmatch(version) and clone.tree(version).is_dir():
            touch(cache / version)
            return Tree(clone.tree(version), version, None)
        try:
            found = wanted(read_refs(git, address.location), version, address.shown)
        except GitFailed as failed:
            raise clone.refused(failed) from None
        commit = found.commit if found.commit and clone.tree(found.commit).is_dir() else _bring(clone, found, report)
        touch(cache / commit)
        return Tree(clone.tree(commit), commit, found.branch)


def _bring(clone: _Clone, found: Wanted, report: Report) -> str:
    shown = clone.address.shown
    lock = clone.cache.parent / f"{clone.cache.name}.lock"
    with locked(lock, waiting=lambda: report(f"Waiting for another process, which is fetching {shown}")):
        try:
            return _fetch_tree(clone, found, report)
        except GitFailed as failed:
            if not _BROKEN.search(failed.said):
                raise clone.refused(failed) from None
        try:
            remove_tree(clone.bare)
            return _fetch_tree(clone, found, report)
        except GitFailed as failed:
            raise clone.refused(failed) from None


def _fetch_tree(clone: _Clone, found: Wanted, report: Report) -> str:
    commit = _fetch(clone, found, report)
    if not clone.tree(commit).is_dir():
        _check_out(clone, commit)
    return commit


def _fetch(clone: _Clone, found: Wanted, report: Report) -> str:
    """Bring a commit into the clone, alone where the server gives it so, else with everything."""
    clone.cache.mkdir(parents=True, exist_ok=True)
    clone.run("init", "--quiet", "--bare", "--template=")
    clone.run("config", "uploadpack.allowAnySHA1InWant", "true")  # trees are fetched from here by commit
    commit = found.commit
    if commit is not None and clone.holds(commit):
        return commit
    report(f"Fetching {found.version or 'the default branch'} of {clone.address.shown}")
    if commit is not None and _fetch_alone(clone, commit):
        return commit
    whole = ["--unshallow"] if (clone.bare / "shallow").is_file() else []
    clone.run("fetch", "--quiet", "--force", *whole, "--", clone.address.location, *_EVERYTHING)
    return _completed(clone, found)


def _fetch_alone(clone: _Clone, commit: str) -> bool:
    kept = f"+{commit}:refs/prefect-ml/{commit}"  # with a name, so that the next fetch builds on it
    try:
        clone.run("fetch", "--quiet", "--depth=1", "--no-tags", "--", clone.address.location, kept)
    except GitFailed as failed:
        if not _ONLY_WHOLE.search(failed.said):
            raise
        return False
    return True


def _completed(clone: _Clone, found: Wanted) -> str:
    asked = found.commit or found.version or ""
    try:
        return clone.run("rev-parse", "--verify", "--end-of-options", f"{asked}^{{commit}}").strip()
    except GitFailed as failed:
        if "ambiguous" in failed.said:
            raise ambiguous_version(asked, clone.address.shown) from None
        raise no_such_version(asked, clone.address.shown, found.refs.branches, found.refs.tags) from None


def _check_out(clone: _Clone, commit: str) -> None:
    """Make the tree of a commit, which is never changed afterwards; it needs the clone no more."""
    git = clone.git
    with arriving_in(clone.cache) as arriving:
        tree = arriving / clone.tree(commit).name
        tree.mkdir(parents=True)
        git.run("init", "--quiet", "--template=", folder=tree)
        git.run("remote", "add", "--", "origin", clone.address.location, folder=tree)
        source = str(clone.bare)
        git.run("-c", "protocol.file.allow=always", "fetch", "--quiet", "--depth=1", "--no-tags", "--", source, commit,
                folder=tree)  # fmt: skip
        git.run("checkout", "--quiet", "--force", "--detach", commit, folder=tree)
        if (tree / ".gitmodules").is_file():
            _add_submodules(clone, tree)
        arriving.rename(clone.cache / commit)


def _add_submodules(clone: _Clone, tree: Path) -> None:
    update = ("submodule", "--quiet", "update", "--init", "--recursive", "--force")
    try:
        clone.git.run(*update, "--depth=1", folder=tree)
    except GitFailed:
        try:
            clone.git.run(*update, folder=tree)  # a server may not give the one commit that is needed
        except GitFailed as failed:
            raise ProjectError(
                f"A submodule of {clone.address.shown} cannot be fetched ({failed.reason});"
                " check its address in .gitmodules and who may read it."
            ) from None
