"""Comparing runs from training code and flows: the page is kept with the run, and shown in Prefect."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ServiceError
from ..running import PrefectRun
from ..store import Run, Store
from .active import current_run, innermost_prefect_run
from .log import log_artifact

if TYPE_CHECKING:
    from ..reports import Comparison

__all__ = ["compare_runs"]

_log = logging.getLogger("prefect_ml")
_FOLDER = "comparisons"


def compare_runs(
    runs: Sequence[str | Run] = (),
    *,
    filter: str = "",  # noqa: A002 - as in search_runs
    experiments: Iterable[str] | None = None,
    limit: int = 200,
    output: str | Path | None = None,
    open: bool = False,  # noqa: A002 - the command's option
    store: Store | None = None,
) -> Comparison:
    """Look at runs beside each other, on one HTML page that needs no network.

    Where a run is open, the page becomes one of its artifacts, in `comparisons/`. Inside a Prefect task or flow, what
    differs and the curves are also published on the flow run's Artifacts tab.

    Args:
        runs: Ids of runs, or runs; by default those that `filter` and `experiments` find, newest first.
        filter: As in `search_runs`, where `runs` names none.
        experiments: As in `search_runs`, where `runs` names none.
        limit: The most runs to take, where `runs` names none.
        output: Write the page to this file.
        open: Show the page in the browser.
        store: Another store than the one that the settings name.

    Returns:
        The comparison: `save` writes its page, `to_pandas` gives a table, and a notebook shows it.

    Raises:
        RunNotFound: No run has one of the ids.
        FilterError: The filter is wrong.
        ExperimentNotFound: No experiment has one of the names.
        TrackingError: No run matches.
        ArtifactError: The page cannot be written.
    """
    from ..reports import compare_runs as compare

    comparison = compare(runs, filter=filter, experiments=experiments, limit=limit, store=store)
    _hand_out(comparison, output, show=open)
    return comparison


def _hand_out(comparison: Comparison, output: str | Path | None, *, show: bool) -> None:
    if show:
        comparison.open(output)
    elif output:
        comparison.save(output)
    if current_run():
        _keep(comparison)
    if prefect := innermost_prefect_run():
        _publish(comparison, prefect)


def _keep(comparison: Comparison) -> None:
    ids = hashlib.sha256("\n".join(run.id for run in comparison.runs).encode()).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        page = comparison.save(Path(folder) / f"{len(comparison.runs)}-runs-{ids[:8]}.html")
        log_artifact(page, to=_FOLDER)


def _publish(comparison: Comparison, prefect: PrefectRun) -> None:
    from ..reports import publish_report

    task_run_id = None if prefect.id == prefect.flow_run_id else prefect.id
    try:
        publish_report(comparison.report, "the comparison", flow_run_id=prefect.flow_run_id, task_run_id=task_run_id)
    except ServiceError as error:  # a report is no reason to lose a training
        _log.warning("The comparison of %s was not published: %s", comparison.title, error)
