"""Comparing what the registry wants served with what is served, and healing the difference."""

from __future__ import annotations

from prefect import flow, get_run_logger

from ..registry import served_holders
from ..serving import list_endpoints, stop_endpoint
from .desired import is_handled, latest_events, recent_events
from .promotion import serve_on_promotion

__all__ = ["reconcile_endpoints"]


@flow(name="reconcile", flow_run_name="reconcile endpoints")
def reconcile_endpoints(grace: float = 180) -> list[str]:
    """Serve promoted versions whose event was lost, and stop endpoints whose stage nobody holds any more.

    What was acted upon is left alone: a version that did not become healthy is not rolled out again, and an endpoint
    that somebody stopped stays stopped. Each healing is a flow run of its own, so that one failure hinders no other.

    Args:
        grace: Seconds that a promotion's own event has for being acted upon, which includes building a Bento.

    Returns:
        One line for every difference found.
    """
    differences = [*_serve_forgotten(grace), *_stop_unheld()]
    for line in differences:
        get_run_logger().info(line)
    return differences


def _serve_forgotten(grace: float) -> list[str]:
    latest, recent = latest_events(), recent_events(grace)
    found: list[str] = []
    for name, stage, version, event_id in served_holders():
        if event_id not in recent and not is_handled(latest.get((name, stage)), event_id):
            found.append(f"The promotion of {name} v{version} to {stage} had not been acted upon.")
            serve_on_promotion(name, version, stage, event_id, return_state=True)
    return found


def _stop_unheld() -> list[str]:
    held = {(name, stage) for name, stage, _, _ in served_holders()}
    found: list[str] = []
    for endpoint in list_endpoints():
        if (endpoint.name, endpoint.stage) not in held and endpoint.desired_version is not None:
            found.append(f"No version of {endpoint.name} holds {endpoint.stage} any more; its endpoint is stopped.")
            stop_endpoint(endpoint.name, endpoint.stage)
    return found
