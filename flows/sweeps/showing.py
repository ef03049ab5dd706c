"""How far a sweep is and what it has found, for people: a line in the terminal, artifacts in the Prefect UI."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from ...errors import PrefectMLError
from ...running import flow_run
from ...store import Run
from ...tasks.compare import compare_runs
from .plan import Plan
from .tally import Tally

__all__ = ["showing", "tell_result"]

_SECONDS = 2.0
_MOST_COMPARED = 200
_log = logging.getLogger("prefect_ml")
Show = Callable[[Tally], object]


@contextmanager
def showing(plan: Plan, sweep_id: str) -> Generator[Show]:
    """Give what shows the tally of a sweep while it runs."""
    artifact = _Artifact(sweep_id) if flow_run() else None
    with _line(plan) as line:

        def show(tally: Tally) -> None:
            line(tally)
            if artifact:
                artifact.show(tally)

        yield show


def tell_result(plan: Plan, tally: Tally, trials: Sequence[Run]) -> None:
    """Leave the best trials and the comparison of all, with its parallel coordinates, where the sweep's run is seen."""
    if flow_run():
        _leave_table(plan, trials)
    ended = [run for run in trials if run.status != "Running"][:_MOST_COMPARED]
    if len(ended) > 1:
        try:
            compare_runs(ended)
        except PrefectMLError as error:  # a page is no reason to lose a sweep
            _log.warning("The trials of the sweep were not compared: %s", error)


def words(tally: Tally) -> str:
    """Say how far a sweep is."""
    best = "" if tally.best_value is None else f", best {tally.best_value:.6g}"
    others = [f"{count} {what}" for what, count in (("pruned", tally.pruned), ("failed", tally.failed)) if count]
    return f"{tally.ended} of {tally.trials} trials{''.join(f', {other}' for other in others)}{best}"


@contextmanager
def _line(plan: Plan) -> Generator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("Sweep", total=plan.trials)
        yield lambda tally: progress.update(bar, completed=tally.ended, description=words(tally))


class _Artifact:
    """A progress bar on the flow run's Artifacts tab."""

    def __init__(self, sweep_id: str) -> None:
        self._key = f"sweep-{sweep_id}"
        self._id: Any = None
        self._shown = (0.0, -1)

    def show(self, tally: Tally) -> None:
        """Bring it up to date, though not more often than anybody looks."""
        at, ended = self._shown
        if ended == tally.ended or (time.monotonic() < at + _SECONDS and tally.ended < tally.trials):
            return
        self._shown = (time.monotonic(), tally.ended)
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        share = 100.0 * tally.ended / tally.trials
        with _no_harm():
            if self._id is None:
                self._id = create_progress_artifact(share, key=self._key, description=words(tally))
            else:
                update_progress_artifact(self._id, share, description=words(tally))


def _leave_table(plan: Plan, trials: Sequence[Run]) -> None:
    from prefect.artifacts import create_table_artifact

    done = [run for run in trials if run.status == "Completed" and plan.objective in run.metrics]
    ranked = sorted(done, key=lambda run: run.metrics[plan.objective], reverse=plan.direction == "maximize")
    rows = [
        {
            "trial": run.tags["trial"],
            plan.objective: run.metrics[plan.objective],
            **{name: run.params[name] for name in plan.space},
            "pruned": run.tags.get("pruned", "false"),
            "run": run.id,
        }
        for run in ranked[:20]
    ]
    with _no_harm():
        create_table_artifact(rows, key=None, description=f"The best trials by {plan.objective}")


@contextmanager
def _no_harm() -> Generator[None]:
    """Go on where Prefect does not take an artifact: it is no reason to lose a sweep."""
    from httpx import HTTPError
    from prefect.exceptions import PrefectException

    try:
        yield
    except (HTTPError, PrefectException, RuntimeError, ValueError) as error:
        _log.warning("Prefect did not take an artifact of the sweep: %s", error)
