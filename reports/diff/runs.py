"""Two runs side by side: what differs in what went in, likely causes first, and in what came out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from ...store import Run, Store, current_store, get_run
from ..text import number
from .change import Change, Value
from .code import code_changes
from .environment import environment_changes

__all__ = ["RunDiff", "diff_as_json", "diff_runs"]


@dataclass(frozen=True)
class RunDiff:
    """In what two runs differ.

    Attributes:
        a: Id of the first run.
        b: Id of the second run.
        summary: One or two sentences: what differs, and what that may mean.
        causes: Differences in what went in, the likeliest cause first: code, params, datasets, environment, Prefect.
        effects: Differences in what came out: status and last metrics, the largest relative change first.
        unknown: What could not be compared because it was not recorded.
    """

    a: str
    b: str
    summary: str
    causes: tuple[Change, ...]
    effects: tuple[Change, ...]
    unknown: tuple[str, ...]

    def to_pandas(self) -> Any:
        """Give one row per difference, causes first."""
        import pandas as pd

        columns = ["kind", "name", "a", "b", "note"]
        return pd.DataFrame([asdict(one) for one in (*self.causes, *self.effects)], columns=columns)

    def _repr_html_(self) -> str:
        rows = "".join(_html_row(one) for one in (*self.causes, *self.effects))
        head = f"<tr><th></th><th></th><th>{escape(self.a)}</th><th>{escape(self.b)}</th><th></th></tr>"
        said = "".join(f"<p>{escape(text)}</p>" for text in (self.summary, *self.unknown))
        return f"{said}<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def diff_runs(a: str | Run, b: str | Run, *, store: Store | None = None) -> RunDiff:
    """Tell in what two runs differ: code, params, datasets, environment and metrics, likely causes first.

    Args:
        a: The first run, or its id.
        b: The second run, or its id.
        store: Another store than the one that the settings name.

    Raises:
        RunNotFound: No run has one of the ids.
    """
    store = current_store(store)
    one, other = (run if isinstance(run, Run) else get_run(run, store=store) for run in (a, b))
    code, unknown = code_changes(one, other)
    around, missing = environment_changes(one, other, store)
    causes = (*code, *_params(one, other), *around)
    effects = tuple(_effects(one, other))
    return RunDiff(one.id, other.id, _summary(causes, effects), causes, effects, (*unknown, *missing))


def diff_as_json(diff: RunDiff) -> dict[str, Any]:
    """Give the differences as JSON-ready values; what is not finite as in `as_json`."""
    changes = {name: [_record(change) for change in getattr(diff, name)] for name in ("causes", "effects")}
    return {"a": diff.a, "b": diff.b, "summary": diff.summary, **changes, "unknown": list(diff.unknown)}


def _params(a: Run, b: Run) -> Iterator[Change]:
    for name in sorted({*a.params, *b.params}):
        if a.params.get(name) != b.params.get(name):
            yield Change("param", name, a.params.get(name), b.params.get(name))


def _effects(a: Run, b: Run) -> Iterator[Change]:
    if a.status != b.status:
        yield Change("status", "status", a.status, b.status)
    found = [_metric(name, a.metrics, b.metrics) for name in sorted({*a.metrics, *b.metrics})]
    yield from (change for _, change in sorted(filter(None, found), key=lambda pair: -pair[0]))


def _metric(name: str, a: Mapping[str, float], b: Mapping[str, float]) -> tuple[float, Change] | None:
    """Give a difference with its size, or None where there is none; what cannot be measured is the largest."""
    one, other = a.get(name), b.get(name)
    if one == other or (one is not None and other is not None and math.isnan(one) and math.isnan(other)):
        return None
    if one is None or other is None:
        return math.inf, Change("metric", name, one, other, f"only in {'b' if one is None else 'a'}")
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.inf, Change("metric", name, one, other, "not finite")
    size = abs(other - one) / abs(one) if one else math.inf
    relative = f" ({(other - one) / abs(one):+.2%})" if one and size < 100 else ""
    return size, Change("metric", name, one, other, f"{'+' if other > one else ''}{number(other - one, 4)}{relative}")


def _summary(causes: tuple[Change, ...], effects: tuple[Change, ...]) -> str:
    if not causes and not effects:
        return "The two runs agree in everything that was recorded."
    if not causes:
        return (
            "The results differ, but nothing that was recorded of what went in does:"
            " look for chance (is every seed fixed?) and for what is not tracked."
        )
    counts = Counter(change.kind for change in causes)
    went_in = ", ".join(_counted(count, kind) for kind, count in counts.items())
    if not effects:
        return f"The results are the same, although these differ: {went_in}."
    return f"What went in differs in {went_in}; the results differ in {_counted(len(effects), 'value')}."


def _counted(count: int, kind: str) -> str:
    plurals = {"code": "code changes", "environment": "parts of the environment", "prefect": "Prefect settings"}
    one = {"code": "code change", "environment": "part of the environment", "prefect": "Prefect setting"}
    return f"1 {one.get(kind, kind)}" if count == 1 else f"{count} {plurals.get(kind, kind + 's')}"


def _record(change: Change) -> dict[str, Value]:
    return asdict(change) | {"a": _plain(change.a), "b": _plain(change.b)}


def _plain(value: Value) -> Value:
    return number(value) if isinstance(value, float) and not math.isfinite(value) else value


def _html_row(change: Change) -> str:
    cells: Iterable[Value] = (change.kind, change.name, change.a, change.b, change.note)
    shown = ("" if cell is None else cell if isinstance(cell, str) else number(cell) for cell in cells)
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in shown) + "</tr>"
