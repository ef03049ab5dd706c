"""Writing into the current run: params, metrics, tags and artifacts."""

from __future__ import annotations

import operator
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, SupportsFloat

from ..errors import ParamConflict, TrackingError
from ..store import to_ms
from ..store.artifacts import add_folder, join, put_file
from ..store.entries import params_entry, same_value, tags_entry
from ..store.journal import SeriesKey
from ..store.writer import Series
from .active import ActiveRun
from .files import json_text, write_artifact
from .points import points_of
from .scope import require_run
from .texts import checked_mapping, checked_name, checked_texts

__all__ = [
    "log_artifact",
    "log_artifacts",
    "log_dict",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "log_series",
    "log_text",
    "set_note",
    "set_tag",
    "set_tags",
]


_OUT_OF_RANGE = 2**63


def log_param(name: str, value: object, *, run: ActiveRun | None = None) -> None:
    """Write one param; it is kept as text, and once per attempt.

    Args:
        name: Name of the param.
        value: Its value.
        run: The run; the current one by default.

    Raises:
        NoActiveRun: No run is open.
        ParamConflict: It has another value already.
    """
    _write_params(require_run("log_param", run), {name: value})


def log_params(values: Mapping[str, object], *, run: ActiveRun | None = None) -> None:
    """Write several params: all of them or, if one conflicts, none.

    Args:
        values: Values by name.
        run: The run; the current one by default.

    Raises:
        NoActiveRun: No run is open.
        ParamConflict: One has another value already.
    """
    _write_params(require_run("log_params", run), values)


def log_metric(
    name: str,
    value: SupportsFloat,
    *,
    step: int | None = None,
    timestamp: datetime | int | None = None,
    run: ActiveRun | None = None,
) -> None:
    """Add one point to a metric's series. When this returns, the point survives the death of the process.

    Args:
        name: Name of the metric.
        value: An int, a float, or a numpy or torch scalar; NaN and the infinities are kept.
        step: Position in the series; by default one more than the last step of this scope, beginning with 0.
        timestamp: When it was measured, as a datetime or milliseconds since 1970; now by default.
        run: The run; the current one by default.

    Raises:
        NoActiveRun: No run is open.
        TrackingError: The value is no number, or the step or timestamp no whole one.
    """
    run = require_run("log_metric", run)
    series = run.series.get(name) or _series(run, name)
    number = value if type(value) is float else _number(name, value)
    step = series.next_step if step is None else _whole("step", step)
    run.writer.add_point(series, step, time.time_ns() // 1_000_000 if timestamp is None else _moment(timestamp), number)
    series.next_step = step + 1


def log_metrics(
    values: Mapping[str, SupportsFloat],
    *,
    step: int | None = None,
    timestamp: datetime | int | None = None,
    run: ActiveRun | None = None,
) -> None:
    """Add one point to each of several metrics.

    Args:
        values: Values by name.
        step: As in `log_metric`.
        timestamp: As in `log_metric`; one time for all.
        run: The run; the current one by default.

    Raises:
        NoActiveRun: No run is open.
        TrackingError: A value is no number; then nothing is added.
    """
    run = require_run("log_metrics", run)
    checked_mapping(values)
    numbers = [(run.series.get(name) or _series(run, name), _number(name, value)) for name, value in values.items()]
    at = time.time_ns() // 1_000_000 if timestamp is None else _moment(timestamp)
    given = None if step is None else _whole("step", step)
    for series, number in numbers:
        where = series.next_step if given is None else given
        run.writer.add_point(series, where, at, number)
        series.next_step = where + 1


def log_series(
    name: str,
    values: Any,
    *,
    steps: Any = None,
    timestamps: Any = None,
    run: ActiveRun | None = None,
) -> None:
    """Add many points to a metric's series at once.

    Args:
        name: Name of the metric.
        values: float[n], anything that numpy reads as one row of numbers; NaN and the infinities are kept.
        steps: int[n]; by default those that follow the last step of this scope.
        timestamps: int[n], milliseconds since 1970, or one moment for all; now by default.
        run: The run; the current one by default.

    Raises:
        NoActiveRun: No run is open.
        TrackingError: These are no numbers, or there are not as many steps or timestamps as values.
    """
    run = require_run("log_series", run)
    series = run.series.get(name) or _series(run, name)
    points = points_of(name, values, steps, timestamps, first=series.next_step)
    if len(points):
        run.writer.add_points(series, points)
        series.next_step = int(points.steps[-1]) + 1


def set_tag(name: str, value: object, *, run: ActiveRun | None = None) -> None:
    """Set one tag; the last value wins.

    Args:
        name: Name of the tag.
        value: Its value, kept as text.
        run: The run; the current one by default.

    Raises:
        NoActiveRun: No run is open.
    """
    run = require_run("set_tag", run)
    run.writer.submit(tags_entry(run.id, checked_texts({name: value})))


def set_tags(values: Mapping[str, object], *, run: ActiveRun | None = None) -> None:
    """Set several tags.

    Args:
        values: Values by name.
        run: The run; the current one by default.

    Raises:
        NoActiveRun: No run is open.
    """
    run = require_run("set_tags", run)
    run.writer.submit(tags_entry(run.id, checked_texts(values)))


def set_note(text: str, *, run: ActiveRun | None = None) -> None:
    """Describe the run in words; the tag `note` holds them, and the last text wins.

    Args:
        text: Markdown.
        run: The run; the current one by default.

    Raises:
        NoActiveRun: No run is open.
    """
    run = require_run("set_note", run)
    run.writer.submit(tags_entry(run.id, checked_texts({"note": text})))


def log_artifact(path: str | Path, *, to: str = "", run: ActiveRun | None = None) -> str:
    """Copy a file into the run's artifacts.

    Args:
        path: The file.
        to: Folder below the artifacts; their root by default.
        run: The run; the current one by default.

    Returns:
        Where the copy lies.

    Raises:
        NoActiveRun: No run is open.
        ArtifactError: There is no such file, or `to` leads out of the run's artifacts.
    """
    run = require_run("log_artifact", run)
    local = Path(path)
    uri = join(run.artifact_uri, to, local.name)
    put_file(local, uri)
    return uri


def log_artifacts(folder: str | Path, *, to: str = "", run: ActiveRun | None = None) -> str:
    """Copy the files of a folder into the run's artifacts, beside what is there.

    Args:
        folder: The folder.
        to: Folder below the artifacts; by default one with the name of `folder`.
        run: The run; the current one by default.

    Returns:
        Where the copy lies.

    Raises:
        NoActiveRun: No run is open.
        ArtifactError: There is no such folder, or a path leads out.
    """
    run = require_run("log_artifacts", run)
    local = Path(folder)
    uri = join(run.artifact_uri, to or local.absolute().name)
    add_folder(local, uri)
    return uri


def log_text(text: str, to: str, *, run: ActiveRun | None = None) -> str:
    """Write a text as an artifact.

    Args:
        text: The text.
        to: Its path below the artifacts, for instance `notes/first.md`.
        run: The run; the current one by default.

    Returns:
        Where it lies.

    Raises:
        NoActiveRun: No run is open.
        TrackingError: It is no text.
        ArtifactError: `to` leads out of the run's artifacts.
    """
    run = require_run("log_text", run)
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TrackingError(
            f"log_text writes a text, not {type(text).__name__}; log_dict and log_artifact take others."
        )
    return write_artifact(run, to, lambda file: file.write_bytes(text.encode(errors="surrogatepass")))


def log_dict(value: Mapping[str, Any] | list[Any], to: str, *, run: ActiveRun | None = None) -> str:
    """Write a dict or list as a JSON artifact.

    Args:
        value: What to write. JSON has no NaN and no infinities: they become the strings `"NaN"`, `"Infinity"` and
            `"-Infinity"`, which `float` reads.
        to: Its path below the artifacts, for instance `config.json`.
        run: The run; the current one by default.

    Returns:
        Where it lies.

    Raises:
        NoActiveRun: No run is open.
        TrackingError: It holds something that JSON cannot.
    """
    return log_text(json_text(value), to, run=run)


def _write_params(run: ActiveRun, values: Mapping[str, object]) -> None:
    texts = checked_texts(values)
    for name, text in texts.items():
        if not same_value(run.params.get(name, text), text):
            raise ParamConflict(run.id, name, run.params[name], text)
    if new := {name: text for name, text in texts.items() if name not in run.params}:
        run.writer.submit(params_entry(run.id, run.attempt, new))
        run.params.update(new)


def _series(run: ActiveRun, name: str) -> Series:
    key = SeriesKey(run.id, run.attempt, checked_name(name))
    return run.series.setdefault(name, Series(key))


def _moment(timestamp: datetime | int) -> int:
    return _whole("timestamp", timestamp if isinstance(timestamp, int) else to_ms(timestamp))


def _whole(what: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError as error:
        raise TrackingError(f"The {what} of a metric must be a whole number, not {value!r}.") from error
    if not -_OUT_OF_RANGE <= number < _OUT_OF_RANGE:
        raise TrackingError(f"The {what} of a metric must be a whole number of at most 64 bits; this one has more.")
    return number


def _number(name: str, value: Any) -> float:
    try:
        if not isinstance(value, (str, bytes)):
            return float(value)
    except OverflowError as error:
        raise TrackingError(
            f"Metric {name!r} must be one number of at most 1.8e308 in size; log its logarithm."
        ) from error
    except (TypeError, ValueError, RuntimeError):
        pass
    raise TrackingError(
        f"Metric {name!r} must be one number, not {type(value).__name__}; log_series takes many at once."
    )
