"""Runs beside each other: read once, shown as a page, as markdown or as a pandas table."""

from __future__ import annotations

import tempfile
import webbrowser
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from ...errors import ArtifactError, TrackingError
from ...store import Run, RunList, Store, current_store, get_run, search_runs
from ...store.datasets import run_datasets
from ...store.environments import run_environment
from ..run.report import Report
from .columns import Column, columns_of
from .curves import Curves, read_curves
from .page import compare_page
from .payload import page_data
from .summary import render_comparison

__all__ = ["Comparison", "compare_runs"]

_SHORT = 10


@dataclass(frozen=True)
class Comparison:
    """Several runs, as of the moment they were read.

    In a notebook it shows itself as the page. The page holds plotly's script (5 MB) and all its data, so it can be
    mailed, kept as an artifact, and opened without a network.

    Attributes:
        runs: The runs, in the order of the page.
        columns: What is known of them; in each group, what differs comes first.
        curves: Their metrics over steps.
    """

    runs: tuple[Run, ...]
    columns: tuple[Column, ...] = field(repr=False)
    curves: Curves = field(repr=False)

    @property
    def title(self) -> str:
        """What the comparison is called."""
        experiments = list(dict.fromkeys(run.experiment for run in self.runs))
        of = f" of {experiments[0]}" if len(experiments) == 1 else f" of {len(experiments)} experiments"
        return f"{len(self.runs)} {'run' if len(self.runs) == 1 else 'runs'}{of}"

    @property
    def html(self) -> str:
        """The whole page."""
        return compare_page(self.title, page_data(self))

    @property
    def report(self) -> Report:
        """The differences as a table and the curves as images, as the Prefect UI shows them."""
        return render_comparison(self)

    def save(self, path: str | Path) -> Path:
        """Write the page to a file and give its path.

        Raises:
            ArtifactError: The file cannot be written.
        """
        file = Path(path)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.html, encoding="utf-8")
        except OSError as error:
            raise ArtifactError(f"The page cannot be written to {file} ({error}); choose another path.") from error
        return file

    def open(self, path: str | Path | None = None) -> Path:
        """Write the page, to a temporary file by default, show it in the browser, and give its path."""
        file = self.save(path or Path(tempfile.mkdtemp(prefix="prefect-ml-")) / "compare.html")
        webbrowser.open(file.resolve().as_uri())
        return file

    def to_pandas(self) -> Any:
        """Give one row per run, with columns `params.x`, `metrics.x` and `tags.x`."""
        return RunList(self.runs).to_pandas()

    def _repr_html_(self) -> str:
        style = "width:100%;height:860px;border:0;border-radius:8px"
        return f'<iframe srcdoc="{escape(self.html)}" style="{style}"></iframe>'


def compare_runs(
    runs: Sequence[str | Run] = (),
    *,
    filter: str = "",  # noqa: A002 - as in search_runs
    experiments: Iterable[str] | None = None,
    limit: int = 200,
    store: Store | None = None,
) -> Comparison:
    """Read runs to look at them beside each other; `save` and `open` of what it gives show them.

    Args:
        runs: Ids of runs, or runs; by default those that `filter` and `experiments` find, newest first.
        filter: As in `search_runs`, where `runs` names none.
        experiments: As in `search_runs`, where `runs` names none.
        limit: The most runs to take, where `runs` names none.
        store: Another store than the one that the settings name.

    Raises:
        RunNotFound: No run has one of the ids.
        FilterError: The filter is wrong.
        ExperimentNotFound: No experiment has one of the names.
        TrackingError: No run matches.
    """
    store = current_store(store)
    found = _named(runs, store) if runs else search_runs(filter, experiments=experiments, limit=limit, store=store)
    if not found:
        raise TrackingError("No run matches, so there is nothing to compare; `prefect-ml runs list` shows the runs.")
    columns = columns_of(found, [_surroundings(run, store) for run in found])
    return Comparison(tuple(found), tuple(columns), read_curves(found, store=store))


def _named(runs: Sequence[str | Run], store: Store) -> list[Run]:
    found = [run if isinstance(run, Run) else get_run(run, store=store) for run in runs]
    return list({run.id: run for run in found}.values())


def _surroundings(run: Run, store: Store) -> dict[tuple[str, str], str]:
    """Give what a run ran on and with: its datasets by their digests, and its environment."""
    known = {
        ("datasets", f"{data.name} ({data.role})"): data.digest[:_SHORT] for data in run_datasets(run.id, store=store)
    }
    if environment := run_environment(run.id, store=store):
        known |= {
            ("environment", "packages"): environment.digest[:_SHORT],
            ("environment", "Python"): environment.python,
            ("environment", "platform"): environment.platform,
        }
    return known
