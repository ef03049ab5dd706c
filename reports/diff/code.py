"""In what the code of two runs differs, and what is not known of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from .change import Change

if TYPE_CHECKING:
    from ...store import Run

__all__ = ["code_changes"]

_SHORT = 12


def code_changes(a: Run, b: Run) -> tuple[list[Change], list[str]]:
    """Give the differences, and sentences about what cannot be told."""
    unknown: list[str] = []
    if a.source.commit is None or b.source.commit is None:
        which = [run.name for run in (a, b) if run.source.commit is None]
        unknown.append(f"No commit was recorded of {' and '.join(which)}, so the code itself cannot be compared.")
    found = [*_sources(a, b), *_local_changes(a, b)]
    if a.source.dirty and b.source.dirty and not (a.source.changes and b.source.changes):
        unknown.append("Both runs had local changes to their code, of which not all were recorded: they may differ.")
    return found, unknown


def _sources(a: Run, b: Run) -> Iterator[Change]:
    """Tell what differs; what is known of one run only is no difference."""
    for name, note in (("commit", "see git log A..B"), ("project", ""), ("entry_point", "")):
        one, other = getattr(a.source, name), getattr(b.source, name)
        if one and other and one != other:
            yield Change("code", name.replace("_", " "), one, other, note)


def _local_changes(a: Run, b: Run) -> Iterator[Change]:
    if None in (a.source.dirty, b.source.dirty):
        return
    one, other = _changes(a), _changes(b)
    if a.source.dirty != b.source.dirty:
        note = f"the working tree of {a.name if a.source.dirty else b.name} differed from its commit"
        yield Change("code", "local changes", one, other, note)
    elif a.source.changes and b.source.changes and one != other:
        yield Change("code", "local changes", one, other, f"in {a.source.changes} and {b.source.changes}")


def _changes(run: Run) -> str:
    """Name the local changes: what was kept of them is named by the digest of its content."""
    if not run.source.dirty:
        return "none"
    return PurePosixPath(run.source.changes).stem[:_SHORT] if run.source.changes else "not recorded"
