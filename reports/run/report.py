"""The report of one run, as markdown: pure, from records that were read before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ..markdown import ROWS, image, moment, more, pairs, table
from ..svg import LARGE, SMALL, draw_curve
from ..text import duration, markdown_text, number
from .background import NOTE, Background
from .sections import (
    artifact_section,
    code_section,
    data_section,
    environment_section,
    family_section,
    note_section,
)

if TYPE_CHECKING:
    from ...store import MetricHistory, Run

__all__ = ["Report", "render_run_report"]

_HEADLINES = 6
_CARD_CURVES = 3
_SYSTEM = "system/"
_CARD_WIDTH = 36
_CURVES = 24


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
    run: Run,
    histories: Mapping[str, MetricHistory],
    *,
    links: Mapping[str, str] | None = None,
    background: Background | None = None,
    diagram: bool = True,
) -> Report:
    """Write the report of a run.

    Args:
        run: The run as it was read.
        histories: Its metric series by name; each is asked for once, so the mapping may read them lazily.
        links: Addresses to offer, by what they are called.
        background: What lies around it.
        diagram: Show parents and children as a diagram of mermaid, which the Prefect UI draws; else as a list.
    """
    every = [_summary(name, histories[name]) for name in islice(histories, ROWS)]
    series = [one for one in every if not one.name.startswith(_SYSTEM)]
    machine = [one for one in every if one.name.startswith(_SYSTEM)]
    around = background or Background()
    sections = [
        f"# {_text(run.name)}: {run.status}",
        table(("Run", ""), _facts(run)),
        *note_section(run),
        *_metrics(run, "Metrics", series, len(histories) - len(every)),
        *pairs("Params", run.params, run.id),
        *data_section(around),
        *code_section(run),
        *artifact_section(run, around),
        *family_section(run, around, diagram=diagram),
        *(_metrics(run, "System metrics", machine, 0) if machine else []),
        *environment_section(around),
        *pairs("Tags", {name: value for name, value in run.tags.items() if name != NOTE}, run.id),
        *_see_also(run, links or {}),
    ]
    return Report(_description(run, series), "\n\n".join(sections) + "\n")


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
    return "\n\n".join([*lines, *(image(one.name, one.small) for one in curves)])


def _wrapped(items: Iterable[str]) -> list[str]:
    """Set items on a line as long as they fit: the card cuts off what is longer."""
    lines: list[str] = []
    for item in items:
        if lines and len(f"{lines[-1]} · {item}".replace("*", "")) <= _CARD_WIDTH:
            lines[-1] += f" · {item}"
        else:
            lines.append(item)
    return lines


def _facts(run: Run) -> list[tuple[str, str]]:
    facts = [
        ("Id", run.id),
        ("Experiment", run.experiment),
        ("Attempt", str(run.attempt)),
        ("User", run.user),
        ("Started", moment(run.started_at)),
    ]
    if run.ended_at:
        facts += [("Ended", moment(run.ended_at)), ("Duration", duration(run.ended_at - run.started_at))]
    if run.parent_id:
        facts.append(("Parent run", run.parent_id))
    return [(name, _text(value)) for name, value in facts]


def _metrics(run: Run, title: str, series: list[_Series], unseen: int) -> list[str]:
    if not series:
        return ["No metrics were logged."]
    rows = [(_text(one.name), number(one.last), number(one.low), number(one.high), str(one.count)) for one in series]
    curves = [image(one.name, one.large) for one in series[:_CURVES]]
    summary = table(("Metric", "Last", "Min", "Max", "Points"), rows)
    return [f"## {title}", summary, *more(unseen, "metrics", run.id), *curves]


def _see_also(run: Run, links: Mapping[str, str]) -> list[str]:
    commands = [f"prefect-ml runs show {run.id}"]
    if run.parent_id:
        commands.append(f"prefect-ml runs show {run.parent_id}")
    offered = [f"- [{_text(name)}](<{address}>)" for name, address in links.items()]
    shell = "\n".join(["```shell", *commands, "```"])
    return ["## See also", *(["\n".join(offered)] if offered else []), shell]


def _text(text: str, limit: int = 200) -> str:
    return markdown_text(text, limit)
