"""The report of one run, as markdown: pure, from records that were read before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from .svg import LARGE, SMALL, data_uri, draw_curve
from .text import duration, markdown_text, number

if TYPE_CHECKING:
    from ..store import MetricHistory, Run

__all__ = ["Report", "render_run_report"]

_HEADLINES = 6
_CARD_CURVES = 3
_CARD_WIDTH = 36
_CURVES = 24
_ROWS = 200


@dataclass(frozen=True)
class Report:
    """What a run leaves for people to look at.

    Attributes:
        description: Short markdown, for the card on the Artifacts tab: the headline metrics and small curves.
        markdown: The whole report.
    """

    description: str
    markdown: str


@dataclass(frozen=True)
class _Series:
    """What the report keeps of one metric, so that no two whole series are in memory at once."""

    name: str
    last: float
    low: float
    high: float
    count: int
    small: str
    large: str


def render_run_report(
    run: Run, histories: Mapping[str, MetricHistory], *, links: Mapping[str, str] | None = None
) -> Report:
    """Write the report of a run.

    Args:
        run: The run as it was read.
        histories: Its metric series by name; each is asked for once, so the mapping may read them lazily.
        links: Addresses to offer, by what they are called.
    """
    series = [_summary(name, histories[name]) for name in islice(histories, _ROWS)]
    return Report(_description(run, series), _markdown(run, series, len(histories), links or {}))


def _summary(name: str, history: MetricHistory) -> _Series:
    import numpy as np

    numbers = history.values[~np.isnan(history.values)]
    return _Series(
        name=name,
        last=float(history.values[-1]) if len(history) else float("nan"),
        low=float(numbers.min()) if len(numbers) else float("nan"),
        high=float(numbers.max()) if len(numbers) else float("nan"),
        count=len(history),
        small=draw_curve(name, history, SMALL),
        large=draw_curve(name, history, LARGE),
    )


def _description(run: Run, series: list[_Series]) -> str:
    headlines = [f"{_text(one.name, 24)} **{number(one.last, 4)}**" for one in series[:_HEADLINES]]
    spent = f" · {duration(run.ended_at - run.started_at)}" if run.ended_at else ""
    params = [f"{_text(name, 16)} = {_text(value, 16)}" for name, value in islice(run.params.items(), _HEADLINES)]
    # Prefect's older UI shows the first line alone, so what people compare comes before the status.
    lines = [*_wrapped([f"**{_text(run.name, 30)}**", *headlines]), run.status + spent, *_wrapped(params)]
    # A curve says more than its last value only where there are several.
    curves = [one for one in series if one.count > 1][:_CARD_CURVES]
    return "\n\n".join([*lines, *(_image(one.name, one.small) for one in curves)])


def _wrapped(items: Iterable[str]) -> list[str]:
    """Set items on a line as long as they fit: the card cuts off what is longer."""
    lines: list[str] = []
    for item in items:
        if lines and len(f"{lines[-1]} · {item}".replace("*", "")) <= _CARD_WIDTH:
            lines[-1] += f" · {item}"
        else:
            lines.append(item)
    return lines


def _markdown(run: Run, series: list[_Series], metrics: int, links: Mapping[str, str]) -> str:
    sections = [
        f"# {_text(run.name)}: {run.status}",
        _table(("Run", ""), _facts(run)),
        *_metrics(run, series, metrics),
        *_pairs("Params", run.params, run.id),
        *_pairs("Tags", run.tags, run.id),
        "## Where it comes from",
        _table(("Source", ""), _origin(run)),
        *_see_also(run, links),
    ]
    return "\n\n".join(sections) + "\n"


def _facts(run: Run) -> list[tuple[str, str]]:
    facts = [
        ("Id", run.id),
        ("Experiment", run.experiment),
        ("Attempt", str(run.attempt)),
        ("User", run.user),
        ("Started", _moment(run.started_at)),
    ]
    if run.ended_at:
        facts += [("Ended", _moment(run.ended_at)), ("Duration", duration(run.ended_at - run.started_at))]
    if run.parent_id:
        facts.append(("Parent run", run.parent_id))
    return [(name, _text(value)) for name, value in facts]


def _metrics(run: Run, series: list[_Series], total: int) -> list[str]:
    if not series:
        return ["No metrics were logged."]
    rows = [(_text(one.name), number(one.last), number(one.low), number(one.high), str(one.count)) for one in series]
    curves = [_image(one.name, one.large) for one in series[:_CURVES]]
    table = _table(("Metric", "Last", "Min", "Max", "Points"), rows)
    return ["## Metrics", table, *_more(total - len(series), "metrics", run.id), *curves]


def _pairs(title: str, values: Mapping[str, str], run_id: str) -> list[str]:
    if not values:
        return []
    rows = [(_text(name), _text(value)) for name, value in islice(values.items(), _ROWS)]
    return [f"## {title}", _table(("Name", "Value"), rows), *_more(len(values) - len(rows), title.lower(), run_id)]


def _origin(run: Run) -> list[tuple[str, str]]:
    source = run.source
    changed = {True: " with local changes", False: "", None: ""}[source.dirty]
    rows = [
        ("Project", source.project),
        ("Entry point", source.entry_point),
        ("Commit", source.commit and source.commit + changed),
        ("Artifacts", run.artifact_uri),
    ]
    return [(name, _text(value)) for name, value in rows if value]


def _see_also(run: Run, links: Mapping[str, str]) -> list[str]:
    commands = [f"prefect-ml runs show {run.id}"]
    if run.parent_id:
        commands.append(f"prefect-ml runs show {run.parent_id}")
    offered = [f"- [{_text(name)}](<{address}>)" for name, address in links.items()]
    shell = "\n".join(["```shell", *commands, "```"])
    return ["## See also", *(["\n".join(offered)] if offered else []), shell]


def _more(count: int, what: str, run_id: str) -> list[str]:
    return [f"And {count} more {what}: `prefect-ml runs show {run_id}`."] if count > 0 else []


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _image(name: str, svg: str) -> str:
    return f"![{_text(name, 80)}]({data_uri(svg)})"


def _text(text: str, limit: int = 200) -> str:
    return markdown_text(text, limit)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
