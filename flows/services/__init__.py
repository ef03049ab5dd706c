"""The background services of `prefect-ml up`: Prefect server, worker and agent."""

from __future__ import annotations

from .environment import api_url, prefect_environment, relay_url
from .laptop import down, up
from .overview import Running, Status, status, status_as_json

__all__ = ["Running", "Status", "api_url", "down", "prefect_environment", "relay_url", "status", "status_as_json", "up"]
