"""In what the code of two runs differs, and what is not known of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from .change import Change

if TYPE_CHECKING:
    from ..store import Run, Store

__all__ = ["code_changes"]

_SHORT = 12


def code_changes(a: Run, b: Run, store: Store) -> tuple[list[Change], list[str]]:
    """Give the differences, and sentences about what cannot be told."""
    found = list(_sources(a, b))
    unknown: list[str] = []
    if a.source.commit is None or b.source.commit is None:
        which = [run.name for run in (a, b) if run.source.commit is None]
        unknown.append(f"No commit was recorded of {' and '.join(which)}, so the code itself cannot be compared.")
    if a.source.dirty and b.source.dirty:
        changed, sentence = _local_changes(a, b, store)
        found += changed
        unknown += sentence
    elif a.source.dirty or b.source.dirty:
        note = f"the working tree of {a.name if a.source.dirty else b.name} differed from its commit"
        found.append(Change("code", "local changes", _yes(a), _yes(b), note))
    return found, unknown


def _sources(a: Run, b: Run) -> Iterator[Change]:
    for name, note in (("commit", "see git log A..B"), ("project", ""), ("entry_point", "")):
        one, other = getattr(a.source, name), getattr(b.source, name)
        if one != other:
            yield Change("code", name.replace("_", " "), one, other, note if one and other else "")


def _local_changes(a: Run, b: Run, store: Store) -> tuple[list[Change], list[str]]:
    one, other = _digests(a, store), _digests(b, store)
    if not one or not other:
        return [], ["Both runs had local changes to their code, which were not recorded, so they may differ in them."]
    differing = sorted(path for path in {*one, *other} if one.get(path) != other.get(path))
    note = "digest of the file"
    return [Change("code", path, _cut(one.get(path)), _cut(other.get(path)), note) for path in differing], []


def _digests(run: Run, store: Store) -> dict[str, str]:
    """Give the digests of the recorded local changes: the diff and the untracked files beside it."""
    from ..store.run_artifacts import list_artifacts

    if not run.source.changes:
        return {}
    folder = str(PurePosixPath(run.source.changes).parent)
    return {file.path: file.digest for file in list_artifacts(run.id, folder, store=store) if file.digest}


def _yes(run: Run) -> str | None:
    return {True: "yes", False: "no", None: None}[run.source.dirty]


def _cut(digest: str | None) -> str | None:
    return digest and digest[:_SHORT]
