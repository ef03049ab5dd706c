"""The records that the registry gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["ModelEvent", "ModelVersion", "RegisteredModel"]


@dataclass(frozen=True)
class RegisteredModel:
    """A model and who holds its stages.

    Attributes:
        versions: How many versions were ever registered; numbers are never used twice.
        stages: Versions by the stage that they hold.
    """

    name: str
    description: str
    created_at: datetime
    created_by: str
    versions: int
    stages: Mapping[str, list[int]]


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model.

    Attributes:
        stage: The stage that it holds, or "None".
        status: Pending, Ready or Failed.
        run_id: The run that logged it.
        source: What it was registered from, as `runs:/<run_id>/<path>`.
        uri: Where its folder really lies.
        digest: sha256 of its manifest.
    """

    name: str
    version: int
    stage: str
    status: str
    aliases: tuple[str, ...]
    run_id: str | None
    source: str
    description: str
    tags: Mapping[str, str]
    created_at: datetime
    created_by: str
    uri: str
    digest: str


@dataclass(frozen=True)
class ModelEvent:
    """One entry of a model's append-only history.

    Attributes:
        kind: registered, promoted, demoted, archived, ...
        evidence: What the decision rested on; `previous` names the version that held the stage before.
    """

    id: str
    kind: str
    name: str
    version: int | None
    from_stage: str | None
    to_stage: str | None
    actor: str
    reason: str
    evidence: Mapping[str, Any]
    at: datetime
    flow_run_id: str | None
