"""From a promotion to an endpoint that answers with the promoted version."""

from __future__ import annotations

import re

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed

from ..errors import PrefectMLError
from ..registry import SERVED_STAGES, holder_of
from ..serving import Bento, Endpoint, await_rollout, build_bento, get_endpoint, set_desired
from .desired import is_handled, latest_events

__all__ = ["serve_on_promotion"]

_ROLLOUT_SECONDS = 300.0


@flow(name="serve-on-promotion", flow_run_name="serve {model} v{version} → {stage}")
def serve_on_promotion(model: str, version: int, stage: str, event_id: str) -> State[Endpoint | None]:
    """Serve the version that was just promoted: build its Bento, roll it out, wait until it answers.

    The registry is asked who holds the stage now, so that an event that comes late, twice or out of order does
    no harm: it changes nothing and says why.

    Args:
        model: Name of the model.
        version: The version that was promoted.
        stage: The stage that it was promoted to.
        event_id: Id of the promotion's event.

    Returns:
        The endpoint as it is afterwards, or nothing where there was nothing to do.
    """
    if reason := _nothing_to_do(model, version, stage, event_id):
        return _skipped(reason)
    try:
        bento = build(model, version)
        if reason := _superseded(model, version, stage):
            return _skipped(reason)
        endpoint = roll_out(model, version, stage, event_id)
    except PrefectMLError as error:
        if reason := _superseded(model, version, stage):
            return _skipped(reason)
        _tell(model, version, stage, f"v{version} is not served: {error}", failed=True)
        raise
    message = f"{model} v{version} answers at {endpoint.url}"
    _tell(model, version, stage, f"{message} (Bento `{bento.name}:{bento.version}`)", failed=False)
    return Completed(message=message, data=endpoint)


@task(name="build-bento", task_run_name="build {model} v{version}", cache_policy=NO_CACHE)
def build(model: str, version: int) -> Bento:
    """Build the Bento of a version, or find the one that is built."""
    return build_bento(model, version)


@task(name="roll-out", task_run_name="roll out {model} v{version}", cache_policy=NO_CACHE)
def roll_out(model: str, version: int, stage: str, event_id: str) -> Endpoint:
    """Tell the agent which version is wanted, and wait until it answers."""
    set_desired(model, stage, version, event_id=event_id)
    return await_rollout(model, stage, version, timeout=_ROLLOUT_SECONDS)


def _nothing_to_do(model: str, version: int, stage: str, event_id: str) -> str | None:
    if stage not in SERVED_STAGES:
        return f"{stage} is not a stage that is served."
    if reason := _superseded(model, version, stage):
        return reason
    if is_handled(latest_events().get((model, stage)), event_id):
        endpoint = get_endpoint(model, stage)
        return f"This event was acted upon before; the endpoint is {endpoint.status}, with v{endpoint.version}."
    return None


def _superseded(model: str, version: int, stage: str) -> str | None:
    holder = holder_of(model, stage)
    if holder is None:
        return f"This event is out of date: no version of {model} holds {stage} now."
    if holder[0] != version:
        return f"This event is out of date: {stage} of {model} is held by v{holder[0]} now."
    return None


def _skipped(reason: str) -> State[Endpoint | None]:
    get_run_logger().info(reason)
    return Completed(message=f"Nothing to do. {reason}", data=None)


def _tell(model: str, version: int, stage: str, message: str, *, failed: bool) -> None:
    """Say what became of it in the log, in an artifact and as an event."""
    logger = get_run_logger()
    (logger.error if failed else logger.info)(message)
    key = re.sub("[^a-z0-9]+", "-", f"endpoint-{model}-{stage}".lower()).strip("-")
    create_markdown_artifact(f"**{model}** v{version} → {stage}\n\n{message}\n", key=key, description=message)
    emit_event(
        event=f"prefect-ml.endpoint.{'failed' if failed else 'deployed'}",
        resource={"prefect.resource.id": f"prefect-ml.endpoint.{model}.{stage}", "prefect.resource.name": model},
        related=[
            {
                "prefect.resource.id": f"prefect-ml.model-version.{model}.{version}",
                "prefect.resource.role": "model-version",
            }
        ],
        payload={"model": model, "version": version, "stage": stage, "message": message},
    )
