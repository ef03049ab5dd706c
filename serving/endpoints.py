"""Endpoints: which version a stage shall be served with, and what the agent has made of it."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ..errors import EndpointNotFound, RolloutFailed, ServingError
from ..registry import canonical_stage, get_model_version, holder_of, model_history
from ..store import Store, current_store, from_ms, new_id, now_ms, schema
from ..store.upsert import insert_new
from .bentos import build_bento

__all__ = [
    "Endpoint",
    "await_rollout",
    "deploy_endpoint",
    "get_endpoint",
    "list_endpoints",
    "rollback_endpoint",
    "set_desired",
    "stop_endpoint",
]

_t = schema.endpoints
_FIELDS = (
    _t.c.name, _t.c.stage, _t.c.url, _t.c.status, _t.c.desired_version, _t.c.version, _t.c.target, _t.c.message,
    _t.c.updated_at,
)  # fmt: skip
_SECONDS = 300.0
_POLL = 0.1
_STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Endpoint:
    """Where a stage of a model is served.

    Attributes:
        name: The model's name.
        url: `http://host:port`, the same for every version; empty until the agent has seen the endpoint.
        status: Deploying, Ready, Degraded (an older version answers), Failed (nothing answers) or Stopped.
        desired_version: The version that shall answer, or None where none shall.
        version: The version that answers now, or None.
        target: What runs the servers.
        message: Why it is as it is, in a sentence; empty where all is well.
    """

    name: str
    stage: str
    url: str
    status: str
    desired_version: int | None
    version: int | None
    target: str
    message: str
    updated_at: datetime


def get_endpoint(name: str, stage: str = "Production", *, store: Store | None = None) -> Endpoint:
    """Give the endpoint of a model's stage.

    Raises:
        EndpointNotFound: There is none.
    """
    stage = canonical_stage(stage)
    with current_store(store).read() as connection:
        row = connection.execute(sa.select(*_FIELDS).where(_t.c.name == name, _t.c.stage == stage)).first()
    if row is None:
        raise EndpointNotFound(name, stage)
    return _endpoint(row)


def list_endpoints(*, store: Store | None = None) -> list[Endpoint]:
    """Give all endpoints, by name and stage."""
    with current_store(store).read() as connection:
        rows = connection.execute(sa.select(*_FIELDS).order_by(_t.c.name, _t.c.stage)).all()
    return [_endpoint(row) for row in rows]


def set_desired(name: str, stage: str, version: int, *, event_id: str, store: Store | None = None) -> Endpoint:
    """Say which version an endpoint shall answer with; the agent of its host brings it about.

    Desired state moves forward only: event ids sort by time, so an event that comes twice, or after a later one,
    changes nothing, and what somebody stopped stays stopped until a later event.

    Args:
        name: The model.
        stage: The stage that is served.
        version: The version that shall answer.
        event_id: Id of the promotion, or a new id for what is asked for by hand.
        store: Another store than the one that the settings name.

    Raises:
        ModelNotFound, VersionNotFound: There is no such version.
    """
    store = current_store(store)
    get_model_version(name, version, store=store)
    wanted = {"desired_version": version, "desired_event": event_id, "status": "Deploying", "message": ""}
    key = {"name": name, "stage": stage}
    new = {**key, "host": socket.gethostname(), "target": "process", "url": "", "version": None, "updated_at": now_ms()}
    with store.write() as connection:
        if not insert_new(connection, _t, {**new, **wanted}):
            earlier = sa.or_(_t.c.desired_event.is_(None), _t.c.desired_event < event_id)
            connection.execute(
                sa.update(_t)
                .where(_t.c.name == name, _t.c.stage == stage, earlier)
                .values(**wanted, updated_at=now_ms())
            )
    return get_endpoint(name, stage, store=store)


def await_rollout(
    name: str, stage: str, version: int, *, timeout: float = _SECONDS, store: Store | None = None
) -> Endpoint:
    """Wait until the endpoint answers with a version.

    Raises:
        RolloutFailed: It did not become healthy, another version was wanted meanwhile, or time ran out.
    """
    deadline = time.monotonic() + timeout
    while True:
        endpoint = get_endpoint(name, stage, store=store)
        if endpoint.desired_version != version:
            raise RolloutFailed(f"{_title(endpoint)}: version {version} is no longer the one that shall be served.")
        if endpoint.status == "Ready" and endpoint.version == version:
            return endpoint
        if endpoint.status in ("Degraded", "Failed"):
            raise RolloutFailed(f"{_title(endpoint)}: {endpoint.message}")
        if time.monotonic() > deadline:
            raise RolloutFailed(
                f"{_title(endpoint)}: version {version} does not answer after {timeout:.0f} s"
                f" ({endpoint.message or 'nothing was heard of it'}); see that `prefect-ml agent` runs on its host."
            )
        time.sleep(_POLL)


def stop_endpoint(name: str, stage: str = "Production", *, store: Store | None = None) -> Endpoint:
    """Say that nothing shall answer; the next promotion to the stage starts the endpoint again.

    Raises:
        EndpointNotFound: There is no such endpoint.
    """
    stage = canonical_stage(stage)
    store = current_store(store)
    get_endpoint(name, stage, store=store)
    with store.write() as connection:
        connection.execute(
            sa.update(_t)
            .where(_t.c.name == name, _t.c.stage == stage)
            .values(desired_version=None, status="Stopped", message="", updated_at=now_ms())
        )
    return _once_silent(name, stage, store)


def deploy_endpoint(
    name: str,
    version: int | None = None,
    *,
    stage: str = "Production",
    timeout: float = _SECONDS,
    store: Store | None = None,
) -> Endpoint:
    """Serve a version and wait until it answers.

    Args:
        name: The model.
        version: The version; the one that holds the stage by default.
        stage: The endpoint's stage.
        timeout: Seconds to wait for the answer.
        store: Another store than the one that the settings name.

    Raises:
        ServingError: Nobody holds the stage and no version was given.
        BentoFailed: Its Bento cannot be built.
        RolloutFailed: It did not become healthy; what answered before still answers.
    """
    stage = canonical_stage(stage)
    if version is None:
        holder = holder_of(name, stage, store=store)
        if holder is None:
            raise ServingError(f"No version of {name} holds {stage}; promote one, or say which version to serve.")
        version = holder[0]
    build_bento(name, version, store=store)
    set_desired(name, stage, version, event_id=new_id(), store=store)
    return await_rollout(name, stage, version, timeout=timeout, store=store)


def rollback_endpoint(name: str, *, stage: str = "Production", store: Store | None = None) -> Endpoint:
    """Serve the version that was served before the present one; the registry's stages stay as they are.

    Raises:
        EndpointNotFound: There is no such endpoint.
        ServingError: No version was served before.
        RolloutFailed: It did not become healthy.
    """
    stage = canonical_stage(stage)
    store = current_store(store)
    endpoint = get_endpoint(name, stage, store=store)
    earlier = _version_before(name, stage, endpoint.desired_version or endpoint.version, store)
    if earlier is None:
        raise ServingError(f"{_title(endpoint)}: no other version was promoted to it before; promote one instead.")
    return deploy_endpoint(name, earlier, stage=stage, store=store)


def _once_silent(name: str, stage: str, store: Store) -> Endpoint:
    """Wait until nothing answers any more; not for long, because the agent may not be running."""
    deadline = time.monotonic() + _STOP_SECONDS
    while True:
        endpoint = get_endpoint(name, stage, store=store)
        if endpoint.version is None or endpoint.desired_version is not None or time.monotonic() > deadline:
            return endpoint
        time.sleep(_POLL)


def _version_before(name: str, stage: str, version: int | None, store: Store) -> int | None:
    promoted = [event.version for event in model_history(name, store=store) if event.to_stage == stage]
    if version in promoted:
        last = len(promoted) - 1 - promoted[::-1].index(version)
        promoted = promoted[:last]
    return next((found for found in reversed(promoted) if found != version), None)


def _endpoint(row: sa.Row[Any]) -> Endpoint:
    *fields, updated_at = row
    return Endpoint(*fields, updated_at=from_ms(updated_at))


def _title(endpoint: Endpoint) -> str:
    return f"Endpoint {endpoint.name} {endpoint.stage}"
