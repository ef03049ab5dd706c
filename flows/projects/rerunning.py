"""Running a run of a project once more: same code, environment, parameters and inputs, in a clean folder."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...environments import (
    Declared,
    DeclaredImage,
    declared_image_of_lock,
    declared_of,
    declared_of_lock,
    realise,
)
from ...errors import ArtifactError, EnvironmentFailed, PrefectMLError, ProjectError
from ...reports import diff_runs
from ...settings import Settings, load_settings
from ...store import Run, get_run
from ...store.artifacts import fetch as fetch_artifact
from ...store.run_artifacts import download_artifacts
from .descriptor import read_project
from .execution import INPUTS, LOCK
from .model import DeclaredEnvironment, EntryPoint, Project
from .ready import Again, Asked, Ready, Report, checked_params
from .running import run_ready, to_stderr
from .sources import Fetched, apply_patch, checkout, digest_of, fetch

__all__ = ["MetricDifference", "Verdict", "rerun"]

_TOLERANCE = 1e-9
_URL = re.compile(r"[A-Za-z][\w+.-]+:/")
_HEAD = "# prefect-ml environment: "
_LEFT_OUT = re.compile(r"^# Left out: (.+)$", re.MULTILINE)


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
        again: The run that did so; None where it was not possible.
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


class _Missing(Exception):
    """Something without which a run cannot be had again."""


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
        with _as_it_was(run, settings, credentials, report) as (ready, given):
            asked = replace(ready.asked, timeout=timeout, experiment=run.experiment)
            again = Again(run.id, f"{run.name}-again", given.cwd)
            ran = run_ready(replace(ready, asked=asked), given.params, report, again=again)
    except _Missing as error:
        return Verdict("not possible", run_id, missing=tuple(str(part) for part in error.args), tolerance=tolerance)
    return _judged(run, get_run(ran.run_id), tolerance)


@dataclass(frozen=True)
class _Given:
    """What a run was given: values, what those of type path held, and where relative ones began."""

    params: Mapping[str, str]
    digests: Mapping[str, str]
    cwd: Path


@contextmanager
def _as_it_was(
    run: Run, settings: Settings, credentials: str | None, report: Report
) -> Generator[tuple[Ready, _Given]]:
    """Bring back what a run ran, in a folder of its own, and what it was given."""
    given = _given_of(run)
    if missing := list(_unknown(run)):
        raise _Missing(*missing)
    source = run.source
    asked = Asked(source.project or "", source.entry_point or "", source.commit, credentials=credentials)
    with tempfile.TemporaryDirectory(prefix="prefect-ml-rerun-") as place:
        try:
            fetched = fetch(asked.uri, version=asked.version, settings=settings, report=report, credentials=credentials)
            folder = checkout(fetched, Path(place, "project"))
            again = replace(fetched, folder=folder, root=Path(place, "project"), in_place=True)
            _patch(run, again, Path(place, "changes.patch"))
            project = read_project(folder)
            point = project.find(asked.entry_point)
            given = replace(given, params=_without_own(given, point, folder))
            if missing := list(_changed_inputs(given, point, folder)):
                raise _Missing(*missing)
            declared = _declared_of(run, project)
            ready = Ready(asked, settings, again, project, point, declared)
            ready.realised(report)
            checked_params(ready, given.params, report, cwd=given.cwd)
        except (ProjectError, EnvironmentFailed, ArtifactError) as error:
            raise _Missing(str(error)) from error
        yield ready, given


def _given_of(run: Run) -> _Given:
    try:
        recorded = json.loads(_text_of(run, INPUTS))
    except ArtifactError as error:
        raise _Missing(
            f"Run {run.id} is not that of a project's command: of flows and other code, nobody knows the whole."
        ) from error
    return _Given(recorded["params"], recorded["digests"], Path(recorded["cwd"]))


def _unknown(run: Run) -> Generator[str]:
    """Say what the record of a run lacks."""
    source = run.source
    if source.commit is None:
        yield f"{source.project} was in no Git repository, so nobody can tell whether its files are the same."
    elif source.dirty and not source.changes:
        yield "Its code differed from the commit, and the changes were not kept."


def _without_own(given: _Given, point: EntryPoint, folder: Path) -> dict[str, str]:
    """Leave out defaults of type path that lie in the project: they are files of its code."""
    declared = point.parameters
    own = {name for name in given.digests if name in declared and given.params[name] == declared[name].default}
    return {name: text for name, text in given.params.items() if name not in own or not (folder / text).exists()}


def _changed_inputs(given: _Given, point: EntryPoint, folder: Path) -> Generator[str]:
    for name, digest in given.digests.items():
        place = given.params.get(name)
        try:
            if place is None:
                now = digest_of(str(folder / (point.parameters[name].default or "")))
            else:
                now = digest_of(place if _URL.match(place) else str(given.cwd / Path(place).expanduser()))
        except PrefectMLError as error:
            yield f"The input {name!r} is gone: {error}"
            continue
        if now != digest:
            shown = place or point.parameters[name].default
            yield f"The input {name!r} ({shown}) has changed: it had the digest {digest[:12]}, and has {now[:12]} now."


def _declared_of(run: Run, project: Project) -> Declared | DeclaredImage:
    """Read the environment that a run had from its lock."""
    lock, origin = _text_of(run, LOCK), f"the lock of run {run.id}"
    if lock.startswith(_HEAD + "docker\n"):
        said = project.environment or DeclaredEnvironment("docker_env")
        more: dict[str, Any] = {"volumes": said.volumes, "environment": said.environment}
        return declared_image_of_lock(lock, folder=project.folder, origin=origin, **more)
    if lock.startswith(_HEAD + "system\n"):
        here = declared_of(project.folder, kind="system")
        if realise(here, root=project.folder).facts().lock == lock:
            return here  # nothing has to be built: the interpreter at hand still holds the same
    return declared_of_lock(lock, origin=origin)


def _patch(run: Run, fetched: Fetched, patch: Path) -> None:
    """Bring back the local changes that the code had."""
    if run.source.dirty and run.source.changes:
        file = fetch_artifact(run.source.changes, patch)
        if left_out := _LEFT_OUT.findall(file.read_bytes().partition(b"\ndiff ")[0].decode(errors="replace")):
            raise _Missing(*(f"Its local changes to {one} were not kept." for one in left_out))
        apply_patch(fetched.root, file)


def _text_of(run: Run, path: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return Path(download_artifacts(run.id, path, to=folder)).read_text()


def _judged(was: Run, now: Run, tolerance: float) -> Verdict:
    differences = tuple(_differences(was.metrics, now.metrics, tolerance))
    diff = diff_runs(was.id, now.id)
    changed = tuple(f"{one.kind} {one.name}: {one.a} → {one.b}" for one in diff.causes)
    outcome = "differs" if differences else "reproduced"
    return Verdict(outcome, was.id, now.id, differences, changed, tolerance=tolerance)


def _differences(was: Mapping[str, float], now: Mapping[str, float], tolerance: float) -> Generator[MetricDifference]:
    for name in sorted({*was, *now}):
        if name.startswith("system/"):
            continue  # what the machine did, and not what the code gave
        one, other = was.get(name), now.get(name)
        if one is None or other is None:
            yield MetricDifference(name, one, other, None)
        elif not _same(one, other, tolerance):
            size = max(abs(one), abs(other))
            far = abs(one - other) / size if math.isfinite(one) and math.isfinite(other) and size else None
            yield MetricDifference(name, one, other, far)


def _same(one: float, other: float, tolerance: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=tolerance)
