"""The sections of a run's report about what lies around the run, as markdown: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..markdown import ROWS, more, table
from ..text import markdown_text, mermaid_text
from .background import NOTE, Background

if TYPE_CHECKING:
    from ...store import Run

__all__ = ["artifact_section", "code_section", "data_section", "environment_section", "family_section", "note_section"]

_SHORT = 16
_COLUMNS = 12
_UNITS = ("B", "kB", "MB", "GB", "TB")
# Middle tones with white text: legible on light and on dark ground.
_COLOURS = {
    "Completed": "#1f9d6b",
    "Running": "#3b6df6",
    "Failed": "#d64545",
    "Crashed": "#c2562f",
    "Cancelled": "#8a7a2b",
    "Reused": "#6b7280",
}


def note_section(run: Run) -> list[str]:
    """Give what people wrote about the run: it is markdown, and the one text that is obeyed."""
    return ["## Notes", run.tags[NOTE]] if run.tags.get(NOTE) else []


def data_section(background: Background) -> list[str]:
    """Tell what data the run used."""
    if not background.datasets:
        return []
    rows = [
        (
            markdown_text(data.name),
            markdown_text(data.role),
            "" if data.rows is None else f"{data.rows}",
            markdown_text(_schema(data.schema)),
            f"`{data.digest[:_SHORT]}`",
            markdown_text(data.source or data.kind),
        )
        for data in background.datasets
    ]
    return ["## Datasets", table(("Dataset", "Role", "Rows", "Columns", "Digest", "Source"), rows)]


def code_section(run: Run) -> list[str]:
    """Tell where the code came from, in which state it was, and what in Prefect ran it."""
    source, prefect = run.source, run.source.prefect or {}
    given: Mapping[str, Any] = prefect.get("parameters") or {}
    changed = {True: " with local changes", False: "", None: ""}[source.dirty]
    rows = [
        ("Project", source.project),
        ("Folder", source.subfolder),
        ("Version", source.version),
        ("Environment", source.environment),
        ("Entry point", source.entry_point),
        ("Commit", source.commit and source.commit + changed),
        ("Branch", source.branch),
        ("Remote", source.remote),
        ("Local changes", source.changes and f"recorded as {source.changes}"),
        ("Flow", prefect.get("flow")),
        ("Flow parameters", ", ".join(f"{name} = {value}" for name, value in given.items())),
        ("Deployment", prefect.get("deployment")),
        ("Work pool", prefect.get("work_pool")),
        ("Artifacts", run.artifact_uri),
    ]
    shown = [(name, markdown_text(str(value))) for name, value in rows if value]
    return ["## Where it comes from", table(("Source", ""), shown)]


def environment_section(background: Background) -> list[str]:
    """Tell what software the run ran with."""
    found = background.environment
    if found is None:
        return []
    facts = [
        ("Python", markdown_text(found.python)),
        ("Platform", markdown_text(found.platform)),
        ("Digest", f"`{found.digest[:_SHORT]}`"),
    ]
    packages = [f"{markdown_text(name)} {markdown_text(version)}" for name, version in sorted(found.packages.items())]
    count = f"{len(packages)} packages: " if len(packages) > 1 else ""
    return ["## Environment", table(("Environment", ""), facts), *([count + ", ".join(packages)] if packages else [])]


def artifact_section(run: Run, background: Background) -> list[str]:
    """Tell what files the run left."""
    if background.artifacts is None:
        return ["## Artifacts", "They could not be reached when this report was written."]
    if not background.artifacts:
        return []
    shown = background.artifacts[:ROWS]
    rows = [
        (markdown_text(one.path), _size(one.size), f"`{one.digest[:_SHORT]}`" if one.digest else "") for one in shown
    ]
    total = _size(sum(one.size for one in background.artifacts))
    head = f"{len(background.artifacts)} {'file' if len(background.artifacts) == 1 else 'files'}, {total}"
    left = more(len(background.artifacts) - len(shown), "artifacts", run.id)
    return ["## Artifacts", head, table(("File", "Size", "sha256"), rows), *left]


def family_section(run: Run, background: Background, *, diagram: bool) -> list[str]:
    """Show the runs that it belongs with: as a diagram of mermaid, or as a list."""
    if not (background.parent or background.children or background.reused):
        return []
    drawn = "\n".join(["```mermaid", *_graph(run, background), "```"]) if diagram else _list(run, background)
    said = [f"And more, which `prefect-ml runs list \"parent_id = '{run.id}'\"` lists."] if background.more else []
    return ["## Parents and children", drawn, *said]


def _graph(run: Run, background: Background) -> Iterator[str]:
    yield "flowchart LR"
    yield _node("run", run, bold=True)
    if background.parent:
        yield _node("parent", background.parent)
        yield "parent --> run"
    for index, child in enumerate(background.children):
        yield _node(f"child{index}", child)
        yield f"run --> child{index}"
    for index, reused in enumerate(background.reused):
        yield f'reused{index}["{mermaid_text(reused.name, 40)}<br/>reused from {reused.run_id[-6:]}"]:::Reused'
        yield f"run -.-> reused{index}"
    for status, colour in _COLOURS.items():
        yield f"classDef {status} fill:{colour},stroke:{colour},color:#ffffff"
    yield "style run stroke:#f2b84b,stroke-width:4px"


def _node(key: str, run: Run, *, bold: bool = False) -> str:
    name = mermaid_text(run.name, 40)
    text = f"<b>{name}</b>" if bold else name
    return f'{key}["{text}<br/>{run.status}"]:::{run.status}'


def _list(run: Run, background: Background) -> str:
    above = [(0, background.parent)] if background.parent else []
    lines = [*above, (len(above), run), *((len(above) + 1, child) for child in background.children)]
    below = "  " * (len(above) + 1)
    reused = [
        f"{below}- {markdown_text(one.name, 60)} (reused) `{markdown_text(one.run_id)}`" for one in background.reused
    ]
    return "\n".join([*(f"{'  ' * depth}- {_line(one, bold=one is run)}" for depth, one in lines), *reused])


def _line(run: Run, *, bold: bool) -> str:
    name = markdown_text(run.name, 60)
    return f"{f'**{name}**' if bold else name} ({run.status}) `{markdown_text(run.id)}`"


def _schema(schema: tuple[tuple[str, str], ...]) -> str:
    shown = [f"{name}: {kind}" for name, kind in schema[:_COLUMNS]]
    return ", ".join([*shown, f"and {len(schema) - _COLUMNS} more"] if len(schema) > _COLUMNS else shown)


def _size(count: float) -> str:
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
