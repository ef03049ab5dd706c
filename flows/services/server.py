"""The Prefect server: the configured one, or one of our own on a free port."""

from __future__ import annotations

import contextlib
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
from .process import end, family, last_words, spawn
from .records import Record, forget, log_of, read, running, write

__all__ = ["answers", "is_healthy", "open_server", "wait_for_server"]

_FIRST_PORT, _PORTS = 4200, 200
_OURS_WITHIN, _CONFIGURED_WITHIN, _TELL_EVERY = 180.0, 5.0, 5.0  # seconds


def open_server(settings: Settings, report: Callable[[str], None]) -> Record:
    """Give the server's record: the configured server's, the running one's, or that of one just started.

    A server of ours need not answer yet; `wait_for_server` waits for it.

    Raises:
        ServiceError: The configured server does not answer.
    """
    known = read(settings, "prefect")
    configured = os.environ.get("PREFECT_API_URL")
    ours = known if known and known.owner else None
    if configured and not (ours and ours.api_url == configured):
        return _configured(settings, configured, known, report)
    if ours and running(settings, "prefect"):
        return ours
    return _start(settings, _free_port(known), report)


def wait_for_server(settings: Settings, server: Record, report: Callable[[str], None]) -> Record:
    """Wait until the server answers. One that lost its port to somebody else is started again on another.

    Raises:
        ServiceError: It ended, or did not answer in time.
    """
    begin = told = time.monotonic()
    while not answers(settings, server):
        now = time.monotonic()
        if server.owner and (not is_alive(server.owner) or _somebody_else_answers(settings, server)):
            if _is_free(_port_of(server)):
                raise _gone(settings, "The Prefect server ended")
            end(family(settings, "prefect", server.owner), grace=5)
            server = _start(settings, _free_port(None), report)
        elif now - begin > _OURS_WITHIN:
            end(family(settings, "prefect", server.owner), grace=5)
            raise _gone(settings, f"The Prefect server did not answer within {_OURS_WITHIN:.0f} s")
        elif now - told > _TELL_EVERY:
            told = now
            report(f"Prefect server: still starting ({now - begin:.0f} s)")
        time.sleep(0.1)
    return server


def answers(settings: Settings, server: Record) -> bool:
    """Whether a server answers, and is the one of this record: another home's may have taken the port first."""
    return is_healthy(server.api_url or "") and (server.owner is None or _listens(settings, server))


def _somebody_else_answers(settings: Settings, server: Record) -> bool:
    return is_healthy(server.api_url or "") and not _listens(settings, server)


def _listens(settings: Settings, server: Record) -> bool:
    import psutil

    for one in family(settings, "prefect", server.owner):
        with contextlib.suppress(psutil.Error):  # it may end in this moment
            for socket_ in psutil.Process(one.pid).net_connections("tcp"):
                if socket_.status == psutil.CONN_LISTEN and socket_.laddr.port == _port_of(server):
                    return True
    return False


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
        "PREFECT_API_LOG_RETRYABLE_ERRORS": "true",  # a busy database answers 503; the log shall say so
    }
    command = ["-m", "prefect", "--no-prompt", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    record = Record("prefect", spawn(settings, "prefect", command, environment), f"{address}/api", address)
    write(settings, record)
    return record


def _configured(settings: Settings, address: str, known: Record | None, report: Callable[[str], None]) -> Record:
    report(f"Prefect server: the configured one, {address}")
    deadline = time.monotonic() + _CONFIGURED_WITHIN
    while not is_healthy(address):
        if time.monotonic() > deadline:
            raise ServiceError(
                f"No Prefect API answers at {address}: start that server, correct PREFECT_API_URL,"
                " or unset it to have `prefect-ml up` start one."
            )
        time.sleep(0.2)
    ui = os.environ.get("PREFECT_UI_URL") or address.rstrip("/").removesuffix("/api")
    prepared = known is not None and known.api_url == address and known.prepared
    record = Record("prefect", None, address, ui, prepared)
    write(settings, record)
    return record


def _gone(settings: Settings, what: str) -> ServiceError:
    forget(settings, "prefect")
    log = log_of(settings, "prefect")
    return ServiceError(f"{what} ({last_words(log)}); see {log}, mend the cause and run `prefect-ml up` again.")


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
