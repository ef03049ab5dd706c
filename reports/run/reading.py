"""The report of a run that is in the store: read, and written to a file where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import ArtifactError
from ...store import MetricHistory, Run, Store, current_store, get_run, metric_history
from .background import read_background
from .report import Report, render_run_report

__all__ = ["report_of", "save_run_report"]

_HTML = (".html", ".htm")


@dataclass(frozen=True)
class _Histories(Mapping[str, MetricHistory]):
    """The series of a run, each read when it is asked for and kept by nobody."""

    run: Run
    store: Store

    def __getitem__(self, name: str) -> MetricHistory:
        if name not in self.run.metrics:
            raise KeyError(name)
        return metric_history(self.run.id, name, attempt=self.run.attempt, store=self.store)

    def __iter__(self) -> Iterator[str]:
        return iter(self.run.metrics)

    def __len__(self) -> int:
        return len(self.run.metrics)


def report_of(
    run: str | Run, *, store: Store | None = None, links: Mapping[str, str] | None = None, diagram: bool = True
) -> Report:
    """Give the report of a run.

    Args:
        run: The run, or its id.
        store: Another store than the one that the settings name.
        links: Addresses to offer, by what they are called.
        diagram: Show parents and children as a diagram of mermaid; else as a list.

    Raises:
        RunNotFound: No run has this id.
    """
    store = current_store(store)
    found = run if isinstance(run, Run) else get_run(run, store=store)
    background = read_background(found, store=store)
    return render_run_report(found, _Histories(found, store), links=links, background=background, diagram=diagram)


def save_run_report(run: str | Run, path: str | Path, *, store: Store | None = None) -> Path:
    """Write the report of a run to a file: an HTML page where its name ends so, else markdown.

    Raises:
        RunNotFound: No run has this id.
        ArtifactError: The file cannot be written.
    """
    from ..html import report_page

    store, file = current_store(store), Path(path)
    found = run if isinstance(run, Run) else get_run(run, store=store)
    page = file.suffix.lower() in _HTML
    markdown = report_of(found, store=store, diagram=not page).markdown
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(report_page(found.name, markdown) if page else markdown, encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"The report cannot be written to {file} ({error}); choose another path.") from error
    return file
