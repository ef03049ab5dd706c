"""Telling Prefect about registry events that it has not heard of."""

from __future__ import annotations

from prefect import flow, get_run_logger
from prefect.settings import get_current_settings

from ..errors import ServiceError
from ..registry import relay_pending

__all__ = ["relay_events"]


@flow(name="relay", flow_run_name="relay registry events")
def relay_events() -> int:
    """Post the registry's waiting events to Prefect, in order; the agent does so every second where it runs.

    Returns:
        How many events Prefect acknowledged.
    """
    api = get_current_settings().api
    if not api.url:
        raise ServiceError("There is no Prefect API to relay to: set PREFECT_API_URL, or run `prefect-ml up`.")
    sent = relay_pending(api.url, auth=api.auth_string.get_secret_value() if api.auth_string else None)
    get_run_logger().info("Relayed %d events", sent)
    return sent
