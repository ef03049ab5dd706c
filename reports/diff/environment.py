"""In what the data and the surroundings of two runs differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

from ...store.datasets import run_datasets
from ...store.environments import run_environment
from .change import Change

if TYPE_CHECKING:
    from ...store import Run, Store
    from ...store.records import RunDataset, RunEnvironment

__all__ = ["environment_changes"]

_SHORT = 12
_PREFECT = {"flow": "flow", "deployment": "deployment", "work_pool": "work pool"}


def environment_changes(a: Run, b: Run, store: Store) -> tuple[list[Change], list[str]]:
    """Give the differences in datasets, environment and Prefect, and what cannot be told."""
    found = list(_datasets(run_datasets(a.id, store=store), run_datasets(b.id, store=store)))
    one, other = run_environment(a.id, store=store), run_environment(b.id, store=store)
    unknown: list[str] = []
    if one is None or other is None:
        which = [run.name for run, known in ((a, one), (b, other)) if known is None]
        unknown.append(f"No environment was recorded of {' and '.join(which)}, so package versions cannot be compared.")
    elif one.digest != other.digest:
        found += _environments(one, other)
    return [*found, *_prefect(a.source.prefect or {}, b.source.prefect or {})], unknown


def _datasets(a: list[RunDataset], b: list[RunDataset]) -> Iterator[Change]:
    one, other = ({(data.role, data.name): data for data in found} for found in (a, b))
    for role, name in sorted({*one, *other}):
        first, second = one.get((role, name)), other.get((role, name))
        if first is None or second is None or first.digest != second.digest:
            note = _data_note(first, second) if first and second else "only in b" if second else "only in a"
            called = f"{name} ({role})"
            yield Change("dataset", called, first and first.digest[:_SHORT], second and second.digest[:_SHORT], note)


def _data_note(a: RunDataset, b: RunDataset) -> str:
    notes = [f"{a.rows} → {b.rows} rows"] if a.rows != b.rows else []
    before, after = dict(a.schema), dict(b.schema)
    notes += [f"column {name} added" for name in after if name not in before]
    notes += [f"column {name} gone" for name in before if name not in after]
    notes += [
        f"{name}: {before[name]} → {after[name]}" for name in before if name in after and before[name] != after[name]
    ]
    return "; ".join(notes[:6]) or "other content"


def _environments(a: RunEnvironment, b: RunEnvironment) -> Iterator[Change]:
    for name, one, other in (("Python", a.python, b.python), ("platform", a.platform, b.platform)):
        if one != other:
            yield Change("environment", name, one, other, "")
    names = [name for name in {*a.packages, *b.packages} if a.packages.get(name) != b.packages.get(name)]
    for name in sorted(names, key=lambda name: (_jump(a.packages.get(name), b.packages.get(name)), name)):
        one, other = a.packages.get(name), b.packages.get(name)
        yield Change("environment", name, one, other, "" if one and other else "only in b" if other else "only in a")


def _jump(a: str | None, b: str | None) -> int:
    """Order packages: another major version first, then minor, then the rest, then what only one run has."""
    if a is None or b is None:
        return 4
    try:
        one, other = Version(a), Version(b)
    except InvalidVersion:
        return 0
    return 1 if one.major != other.major else 2 if one.minor != other.minor else 3


def _prefect(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Change]:
    for key, name in _PREFECT.items():
        if a.get(key) != b.get(key):
            yield Change("prefect", name, _text(a.get(key)), _text(b.get(key)), "")
    one: Mapping[str, Any] = a.get("parameters") or {}
    other: Mapping[str, Any] = b.get("parameters") or {}
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            yield Change("prefect", f"parameter {name}", _text(one.get(name)), _text(other.get(name)), "")


def _text(value: object) -> str | None:
    return None if value is None else str(value)
