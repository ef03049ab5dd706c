"""The Prefect server: the configured one, or one of our own on a free port."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx

from ...errors import ServiceError
from ...processes import is_alive
from ...settings import Settings
from .environment import prefect_environment
from .process import end, family, last_line, spawn
from .records import Record, forget, log_of, read, running, write

__all__ = ["is_healthy", "open_server", "wait_for_server"]

_FIRST_PORT, _PORTS = 4200, 200
_OURS_WITHIN, _CONFIGURED_WITHIN = 180.0, 10.0


def open_server(settings: Settings, report: Callable[[str], None]) -> Record:
    """Give the server's record: the configured server's, the running one's, or that of one just started.

    The server need not answer yet; `wait_for_server` waits for it.
    """
    known = read(settings, "prefect")
    configured = os.environ.get("PREFECT_API_URL")
    ours = known is not None and known.owner is not None
    if configured and not (ours and known.api_url == configured):
        report(f"Prefect server: the configured one at {configured}")
        record = Record("prefect", None, configured, _ui_of(configured))
        write(settings, record)
        return record
    if ours and running(settings, "prefect"):
        report(f"Prefect server: runs at {known.api_url}")
        return known
    return _start(settings, _free_port(known), report)


def wait_for_server(settings: Settings, server: Record, report: Callable[[str], None]) -> Record:
    """Wait until the server answers. One that lost its port to somebody else is started again on another.

    Raises:
        ServiceError: It ended, or did not answer in time.
    """
    within = _OURS_WITHIN if server.owner else _CONFIGURED_WITHIN
    begin = time.monotonic()
    told = begin
    while not is_healthy(server.api_url or ""):
        now = time.monotonic()
        if server.owner and not is_alive(server.owner):
            if _is_free(_port_of(server)):
                raise _gone(settings, f"The Prefect server ended ({last_line(log_of(settings, 'prefect'))})")
            server = _start(settings, _free_port(None), report)
        elif now - begin > within:
            raise _too_late(settings, server, within)
        elif now - told > 5:
            told = now
            report(f"Prefect server: still starting ({now - begin:.0f} s)")
        time.sleep(0.1)
    return server


def is_healthy(api_url: str) -> bool:
    """Whether a Prefect API answers there."""
    try:
        return httpx.get(f"{api_url}/health", timeout=5).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _start(settings: Settings, port: int, report: Callable[[str], None]) -> Record:
    address = f"http://127.0.0.1:{port}"
    report(f"Prefect server: starting at {address}")
    environment = {
        **prefect_environment(settings),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_UI_API_URL": f"{address}/api",  # without it the UI looks for its API on the default port
        "PREFECT_SERVER_API_PORT": str(port),
    }
    command = ["-m", "prefect", "--no-prompt", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    record = Record("prefect", spawn(settings, "prefect", command, environment), f"{address}/api", address)
    write(settings, record)
    return record


def _gone(settings: Settings, what: str) -> ServiceError:
    forget(settings, "prefect")
    return ServiceError(f"{what}; see {log_of(settings, 'prefect')}, mend the cause and run `prefect-ml up` again.")


def _too_late(settings: Settings, server: Record, within: float) -> ServiceError:
    if server.owner is None:
        forget(settings, "prefect")
        return ServiceError(
            f"No Prefect API answers at {server.api_url}: start that server, correct PREFECT_API_URL,"
            " or unset it to have `prefect-ml up` start one."
        )
    end(family(settings, "prefect", server.owner), grace=5)
    line = last_line(log_of(settings, "prefect"))
    return _gone(settings, f"The Prefect server did not answer within {within:.0f} s ({line})")


def _free_port(known: Record | None) -> int:
    first = [_port_of(known)] if known and known.api_url else []
    for port in [*first, *range(_FIRST_PORT, _FIRST_PORT + _PORTS)]:
        if _is_free(port):
            return port
    raise ServiceError(f"No port from {_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1} is free; end what holds them.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    with socket.socket() as probe:  # macOS lets two programs bind one port, on different addresses
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _port_of(record: Record) -> int:
    return urlsplit(record.api_url or "").port or _FIRST_PORT


def _ui_of(api_url: str) -> str:
    return os.environ.get("PREFECT_UI_URL") or api_url.rstrip("/").removesuffix("/api")
