"""Comparing what the registry wants served with what is served, and healing the difference."""

from __future__ import annotations

from prefect import flow, get_run_logger

from ..registry import served_holders
from ..serving import Endpoint, list_endpoints, stop_endpoint
from .promotion import serve_on_promotion

__all__ = ["reconcile_endpoints"]


@flow(name="reconcile", flow_run_name="reconcile endpoints")
def reconcile_endpoints() -> list[str]:
    """Serve promoted versions whose event was lost, and stop endpoints whose stage nobody holds any more.

    A promotion that was acted on is left alone: a version that failed is not tried again, and an endpoint that
    somebody stopped stays stopped. Each healing is a flow run of its own, so that one failure hinders no other.

    Returns:
        One line for every difference found.
    """
    logger = get_run_logger()
    endpoints = {(endpoint.name, endpoint.stage): endpoint for endpoint in list_endpoints()}
    holders = served_holders()
    done: list[str] = []
    for name, stage, version, event_id in holders:
        if _is_wanted(endpoints.get((name, stage)), version):
            serve_on_promotion(name, version, stage, event_id, return_state=True)
            done.append(f"{name} v{version} was not served as {stage}")
    held = {(name, stage) for name, stage, _, _ in holders}
    for key, endpoint in endpoints.items():
        if key not in held and endpoint.status != "Stopped":
            stop_endpoint(endpoint.name, endpoint.stage)
            done.append(f"{endpoint.name} has no version in {endpoint.stage}: endpoint stopped")
    for line in done:
        logger.info(line)
    return done


def _is_wanted(endpoint: Endpoint | None, version: int) -> bool:
    if endpoint is None:
        return True
    return endpoint.status != "Stopped" and endpoint.desired_version != version
