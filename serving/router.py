"""The router: one stable port per endpoint, in front of servers that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from ..errors import ServingError
from .targets import Server

__all__ = ["Route", "Router"]

_log = logging.getLogger("prefect_ml.agent")
_HOST = "127.0.0.1"
_PORTS = range(8100, 9000)
_MOST_BYTES = 64 * 2**20
_SMALL = 2**20
# fmt: off
_HOP_BY_HOP = frozenset({
    "connection", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade",
})
# fmt: on


class Router:
    """Owns the ports, and the connections to the servers behind them."""

    def __init__(self, salt: str) -> None:
        self._salt = salt
        self._session: aiohttp.ClientSession | None = None
        self._routes: list[Route] = []

    async def open(self, name: str, stage: str, url: str, taken: set[int]) -> Route:
        """Listen for an endpoint: on the port of `url`, or where it has none yet, on the first free one.

        Raises:
            ServingError: Another program has the port.
        """
        if self._session is None:
            self._session = _session()
        route = Route(name, stage, self._session)
        await route.listen(_socket_for(name, stage, url, taken, self._salt))
        self._routes.append(route)
        return route

    async def close(self) -> None:
        """Give up all ports."""
        await asyncio.gather(*(route.close() for route in self._routes))
        if self._session is not None:
            await self._session.close()


@dataclass
class _Backend:
    server: Server
    in_flight: int = 0


class Route:
    """One endpoint's port, and the server that answers there now."""

    def __init__(self, name: str, stage: str, session: aiohttp.ClientSession) -> None:
        self.url = ""
        self.reason = "it has not been started yet"
        self._name = name
        self._stage = stage
        self._session = session
        self._backend: _Backend | None = None
        self._retired: list[_Backend] = []
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None, auto_decompress=False))

    async def listen(self, listening: socket.socket) -> None:
        """Answer on a socket."""
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        self.url = f"http://{_HOST}:{listening.getsockname()[1]}"

    def switch(self, server: Server | None, reason: str = "") -> None:
        """Send requests to another server from now on, or to none; those under way are not touched."""
        if self._backend is not None:
            self._retired.append(self._backend)
        self._backend = None if server is None else _Backend(server)
        self.reason = reason

    async def drained(self, server: Server, seconds: float) -> None:
        """Wait until a server that was switched away from has answered what it had been sent; not for ever."""
        mine = [backend for backend in self._retired if backend.server is server]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(backend.in_flight for backend in mine):
                    await asyncio.sleep(0.02)
        self._retired = [backend for backend in self._retired if backend.server is not server]

    async def close(self) -> None:
        """Give up the port."""
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not request.raw_path.startswith("/"):
            return self._say(400, "The request's target has to be a path; send it to the endpoint's own address.")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return self._say(415, "The body has to come as it is; send it without a content encoding.")
        length = request.content_length
        if length is not None and length > _MOST_BYTES:
            return self._say(413, f"A request may have {_MOST_BYTES} bytes at most; send fewer rows at a time.")
        # What is small is read first, so that it can be sent again when its server dies under it.
        small = not request.can_read_body or (length is not None and length <= _SMALL)
        body = await request.read() if small else _Upload(request)
        try:
            return await self._forward(request, body)
        except _TooLarge:
            return self._say(413, f"A request may have {_MOST_BYTES} bytes at most; send fewer rows at a time.")

    async def _forward(self, request: web.BaseRequest, body: bytes | _Upload) -> web.StreamResponse:
        # Twice: the server may have been replaced, or have closed an idle connection, in this very moment.
        for _ in range(1 if isinstance(body, _Upload) else 2):
            if (backend := self._backend) is None:
                break
            backend.in_flight += 1
            try:
                return await self._pass_on(request, body, backend)
            except aiohttp.ClientError as error:
                if isinstance(body, _Upload) and body.too_large:
                    raise _TooLarge from error
                _log.warning("A request to %s failed: %s", backend.server.order, error)
            finally:
                backend.in_flight -= 1
        if self._backend is None:
            return self._say(503, f"No version of {self._name} answers at {self._stage} now: {self.reason}.")
        return self._say(503, f"The server of {self._name} at {self._stage} went away; send the request again.")

    async def _pass_on(self, request: web.BaseRequest, body: bytes | _Upload, backend: _Backend) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
        async with self._session.request(
            request.method,
            backend.server.url + request.raw_path,
            data=body or None,
            headers=headers,
            allow_redirects=False,
        ) as answer:
            kept = _answer_headers(answer.headers)
            if answer.content_length is not None and answer.content_length <= _SMALL and request.method != "HEAD":
                return web.Response(status=answer.status, headers=kept, body=await answer.read())
            return await _stream(request, answer, web.StreamResponse(status=answer.status, headers=kept))

    def _say(self, status: int, sentence: str) -> web.Response:
        server = self._backend.server if self._backend else None
        version, run_id = (str(server.order.version), server.run_id) if server else ("none", "")
        headers = {"X-Model-Name": self._name, "X-Model-Version": version, "X-Run-Id": run_id}
        return web.json_response({"error": sentence}, status=status, headers=headers)


class _TooLarge(Exception):
    pass


class _Upload:
    """A body that is passed on while it comes in, and that remembers whether it was too large."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._content = request.content
        self.too_large = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for chunk in self._content.iter_any():
            seen += len(chunk)
            if seen > _MOST_BYTES:
                self.too_large = True
                raise _TooLarge
            yield chunk


async def _stream(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, response: web.StreamResponse
) -> web.StreamResponse:
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
    except aiohttp.ClientError as error:
        # The answer has begun, so that all that can be said now is that it is not whole.
        raise ConnectionResetError("the server went away within its answer") from error
    await response.write_eof()
    return response


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
    )


def _answer_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    # In the spelling that people grep for: between servers, names of headers travel in lower case.
    kept = ((key, value) for key, value in headers.items() if key.lower() not in _HOP_BY_HOP | {"content-length"})
    return [(key.title(), value) for key, value in kept]


def _socket_for(name: str, stage: str, url: str, taken: set[int], salt: str) -> socket.socket:
    if url:
        port = int(url.rpartition(":")[2])
        if listening := _bound(port):
            return listening
        raise ServingError(
            f"Port {port} of endpoint {name} {stage} is taken by another program; end that, and it will be served."
        )
    # Where the search begins depends on the name, so that homes on one host seldom want the same port.
    start = zlib.crc32(f"{salt}\0{name}\0{stage}".encode()) % len(_PORTS)
    for port in (*_PORTS[start:], *_PORTS[:start]):
        if port not in taken and (listening := _bound(port)):
            return listening
    raise ServingError(f"No port from {_PORTS[0]} to {_PORTS[-1]} is free for endpoint {name} {stage}; free one.")


def _bound(port: int) -> socket.socket | None:
    try:
        return socket.create_server((_HOST, port), backlog=1024)
    except OSError:
        return None
