"""Serves an exported Bento in this one process: `python -m prefect_ml_scoring.serve <folder> <file descriptor>`.

`bentoml serve` would add a supervisor that opens an unauthenticated control port on the loopback address, takes ten
seconds to notice a dead worker and starts more slowly; the agent is the supervisor here.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import bentoml as _bentoml  # pyright: ignore[reportMissingImports]
import uvicorn

__all__ = ["main"]

bentoml: Any = _bentoml  # it carries types only in part


def main(folder: str, descriptor: int) -> None:
    """Serve until SIGTERM; requests in flight are answered first."""
    app = bentoml.load(folder).to_asgi()
    listening = socket.socket(fileno=descriptor)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=30
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
