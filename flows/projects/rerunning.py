"""Running a run of a project once more: same code, environment, parameters and inputs, in a clean folder."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ...errors import ProjectError
from ...reports import diff_runs
from ...settings import load_settings
from ...store import Run, current_store, get_run
from ...store.entries import tags_entry
from ...store.writers import writer_for
from .flow_running import run_flow
from .ready import Again, Ready, Report
from .restoring import Given, Missing, as_it_was
from .running import run_ready, to_stderr

__all__ = ["MetricDifference", "Verdict", "rerun"]

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class MetricDifference:
    """A metric that is not what it was.

    Attributes:
        name: The metric.
        was: Its last value in the first run; None where that has none.
        now: Its last value in the second run.
        relative: How far they are apart, as a part of the greater one; None where that means nothing.
    """

    name: str
    was: float | None
    now: float | None
    relative: float | None


@dataclass(frozen=True)
class Verdict:
    """What became of running something again.

    Attributes:
        outcome: `reproduced`, `differs` or `not possible`.
        run_id: The run that was to be reproduced.
        again: The run that did so; None where nothing ran.
        differences: Metrics that are not what they were, within the tolerance.
        changed: What else differs between the two runs, the likeliest cause first.
        missing: Why it was not possible.
        tolerance: How far apart two values may be, as a part of the greater one.
    """

    outcome: Literal["reproduced", "differs", "not possible"]
    run_id: str
    again: str | None = None
    differences: tuple[MetricDifference, ...] = ()
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    tolerance: float = _TOLERANCE


def rerun(
    run_id: str,
    *,
    tolerance: float = _TOLERANCE,
    timeout: float | None = None,
    credentials: str | None = None,
    report: Report | None = None,
) -> Verdict:
    """Run a run of a project again, and say whether it gives the same.

    Code is that of its commit with the local changes it had, software that of its lock, params are as they were given,
    and inputs must still hold what they held.

    Args:
        run_id: A run that `run_project`, `step` or a deployment has made.
        tolerance: How far metrics may be apart, as a part of the greater value.
        timeout: Seconds after which it is stopped and has failed.
        credentials: Prefect block that reads a private repository.
        report: Called with each line that the build and the project print; by default they go to standard error.

    Raises:
        RunNotFound: There is no such run.
        ProjectRunFailed: It ran, and failed this time.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ProjectError(f"The tolerance must be 0 or more, not {tolerance}.")
    run, settings = get_run(run_id), load_settings()
    report = report or to_stderr
    try:
        with as_it_was(run, settings, credentials, report) as (ready, given):
            asked = replace(ready.asked, timeout=timeout, experiment=run.experiment)
            ran = _run(replace(ready, asked=asked), run, given, report)
    except Missing as error:
        return Verdict("not possible", run_id, missing=tuple(str(part) for part in error.args), tolerance=tolerance)
    return _judged(run, get_run(ran), tolerance)


def _run(ready: Ready, run: Run, given: Given, report: Report) -> str:
    if not ready.point.flow:
        again = Again(run.id, f"{run.name}-again", given.cwd)
        return run_ready(ready, given.params, report, again=again).run_id
    ran: str = run_flow(ready, ready.realised(report), given.params, report)["run_id"]
    writer_for(current_store()).submit(tags_entry(ran, {"rerun_of": run.id}))
    return ran


def _judged(was: Run, now: Run, tolerance: float) -> Verdict:
    differences = tuple(_differences(was.metrics, now.metrics, tolerance))
    diff = diff_runs(was.id, now.id)
    # Whether it was a flow run, and from where the same commit was had, changes nothing that it gives.
    causes = [one for one in diff.causes if one.kind != "prefect" and (one.kind, one.name) != ("code", "project")]
    changed = tuple(f"{one.kind} {one.name}: {one.a} → {one.b}" for one in causes)
    if not _compared({*was.metrics, *now.metrics}):
        nothing = f"It ran again as {now.id}, but no metric was logged with prefect-ml that could be compared."
        return Verdict("not possible", was.id, now.id, (), changed, (nothing,), tolerance)
    outcome = "differs" if differences else "reproduced"
    return Verdict(outcome, was.id, now.id, differences, changed, tolerance=tolerance)


def _compared(names: set[str]) -> list[str]:
    """Give the metrics that count, in order: not what the machine did, but what the code gave."""
    return sorted(name for name in names if not name.startswith("system/"))


def _differences(was: Mapping[str, float], now: Mapping[str, float], tolerance: float) -> Generator[MetricDifference]:
    for name in _compared({*was, *now}):
        one, other = was.get(name), now.get(name)
        if one is None or other is None:
            yield MetricDifference(name, one, other, None)
        elif not _same(one, other, tolerance):
            size = max(abs(one), abs(other))
            far = abs(one - other) / size if math.isfinite(one) and math.isfinite(other) and size else None
            yield MetricDifference(name, one, other, far)


def _same(one: float, other: float, tolerance: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=tolerance)
