"""The records that the store gives back: frozen, with a JSON form of exactly the same names."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "MetricHistory",
    "Run",
    "RunDataset",
    "RunEnvironment",
    "Source",
    "as_json",
    "from_ms",
    "to_ms",
]


def from_ms(ms: int) -> datetime:
    """Turn milliseconds since 1970 into an aware UTC datetime."""
    return datetime.fromtimestamp(ms / 1000, tz=timezone.utc)


def to_ms(moment: datetime) -> int:
    """Turn a datetime (naive means local time) into milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


class _Record(Protocol):
    __dataclass_fields__: ClassVar[Any]


def as_json(record: _Record) -> dict[str, Any]:
    """Give a record as JSON-ready values under its own field names.

    Times become ISO 8601 text; NaN and the infinities become the strings "NaN", "Infinity" and "-Infinity".
    """
    return {f.name: _plain(getattr(record, f.name)) for f in dataclasses.fields(record)}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, Source):
        return as_json(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value


@dataclass(frozen=True)
class Source:
    """Where the code of a run came from.

    Attributes:
        project: Path or URL of the project, without credentials, or None.
        entry_point: Function, script or entry point that was run, or None.
        commit: Git commit, or None outside a repository.
        dirty: Whether the work tree differed from the commit, or None outside a repository.
        branch: Branch that was checked out, or None outside a repository.
        remote: Address of the repository's remote without its credentials, or None.
        changes: Where the patch with what differed from the commit lies, or None.
        prefect: Flow, deployment, work pool and parameters of the Prefect run, or None outside Prefect.
        subfolder: Where in its repository the project lies, or None.
        version: Branch, tag or commit that was asked for, or None.
        environment: Kind and digest of the environment that the project declares, such as `uv:0f3a...`, or None.
    """

    project: str | None = None
    entry_point: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    branch: str | None = None
    remote: str | None = None
    changes: str | None = None
    prefect: Mapping[str, Any] | None = None
    subfolder: str | None = None
    version: str | None = None
    environment: str | None = None


@dataclass(frozen=True)
class Run:
    """One tracked run, as of the moment it was read.

    Attributes:
        id: Task-run id, flow-run id, or an id of its own outside Prefect.
        status: Running, Completed, Failed, Crashed or Cancelled.
        attempt: Number of the latest attempt; params and metrics are those of this attempt.
        params: Values as text.
        metrics: Last value of each series: that of the highest step, then time, then arrival.
    """

    id: str
    name: str
    experiment: str
    status: str
    attempt: int
    parent_id: str | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    user: str
    started_at: datetime
    ended_at: datetime | None
    artifact_uri: str
    source: Source = field(default_factory=Source)
    flow_run_id: str | None = None
    task_run_id: str | None = None

    @classmethod
    def of_fields(cls, fields: dict[str, Any]) -> Run:
        """Make a run of all its fields; the usual way takes five times as long, which shows in long lists."""
        run = object.__new__(cls)
        object.__setattr__(run, "__dict__", fields)
        return run


@dataclass(frozen=True)
class MetricHistory:
    """Every point of one metric series, ordered by step, time and arrival.

    Attributes:
        steps: int64[n].
        timestamps: int64[n], milliseconds since 1970, UTC.
        values: float64[n].
        sampled: Whether points were left out because `max_points` asked for fewer.
    """

    steps: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    sampled: bool = False

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class RunDataset:
    """A dataset as one run has used it.

    Attributes:
        name: What people call it.
        role: What the run used it for, for instance `training`.
        digest: Digest of its content.
        kind: What it was when it was logged: pandas, polars, arrow, numpy, scipy, file,
            folder or url.
        source: Where it came from, as far as that is known; else the empty text.
        rows: Number of rows, or None where that means nothing.
        schema: Name and type of each column.
    """

    name: str
    role: str
    digest: str
    kind: str
    source: str
    rows: int | None
    schema: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RunEnvironment:
    """Interpreter, platform and packages of a run.

    Attributes:
        digest: sha256 of the rest.
        python: Version of Python, for instance `3.11.7`.
        platform: System, release and processor.
        packages: Version of every installed package by its name.
    """

    digest: str
    python: str
    platform: str
    packages: Mapping[str, str]

    @staticmethod
    def of(python: str, platform: str, packages: Mapping[str, str]) -> RunEnvironment:
        """Make one, with its digest."""
        content = json.dumps([python, platform, sorted(packages.items())])
        return RunEnvironment(hashlib.sha256(content.encode()).hexdigest(), python, platform, dict(packages))
