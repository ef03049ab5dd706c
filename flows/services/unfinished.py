"""Flow runs that `down` ends: told to the server, or they would show as running for ever."""

from __future__ import annotations

import time
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
            runs: list[dict[str, Any]] = _post(client, "/flow_runs/filter", query)
            for run in runs:
                _post(client, f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})
    except httpx.HTTPError:
        return 0
    return len(runs)


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    for pause in (0.1, 0.2, 0.4, 0.8, 0.0):
        answer = client.post(path, json=body)
        if answer.status_code != 503:  # how Prefect says that its SQLite database is busy
            break
        time.sleep(pause)
    return answer.raise_for_status().json()
