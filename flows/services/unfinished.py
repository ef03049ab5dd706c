"""Flow runs that `down` ends: told to the server, or they would show as running for ever."""

from __future__ import annotations

from typing import Any

import httpx

from .prepare import POOL

__all__ = ["crash_unfinished"]

_LIVE = ["PENDING", "RUNNING", "CANCELLING"]


def crash_unfinished(api_url: str) -> int:
    """Mark the pool's flow runs that nobody executes any more as crashed; give how many there were.

    For a server of ours whose worker has ended. A server that does not answer keeps its runs as they are.
    """
    query = {
        "flow_runs": {"state": {"type": {"any_": _LIVE}}},
        "work_pools": {"name": {"any_": [POOL]}},
        "limit": 200,
    }
    state = {"type": "CRASHED", "name": "Crashed", "message": "Ended by `prefect-ml down`."}
    try:
        with httpx.Client(base_url=api_url, timeout=10) as client:
            runs: list[dict[str, Any]] = client.post("/flow_runs/filter", json=query).raise_for_status().json()
            for run in runs:
                client.post(f"/flow_runs/{run['id']}/set_state", json={"state": state, "force": True})
    except httpx.HTTPError:
        return 0
    return len(runs)
