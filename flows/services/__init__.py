"""The background services of `prefect-ml up`: Prefect server, worker and agent."""

from __future__ import annotations

from .environment import prefect_environment
from .laptop import down, up
from .overview import Running, Status, status, status_as_json

__all__ = ["Running", "Status", "down", "prefect_environment", "status", "status_as_json", "up"]
