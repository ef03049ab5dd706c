"""The HTTP face of a served model beside what BentoML brings: scoring, probes, and the headers that name it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from .errors import BadInput
from .scoring import Scorer

__all__ = ["Front", "in_turn", "scoring_app"]

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[MutableMapping[str, Any], Callable[[], Awaitable[_Message]], _Send], Awaitable[None]]


class Front:
    """ASGI middleware: answers the routes of `scoring` itself, and names the model in the headers of every answer."""

    def __init__(self, app: _App, scoring: Starlette, headers: Mapping[str, str]) -> None:
        self._app = app
        self._scoring = scoring
        self._paths = {route.path for route in scoring.routes if isinstance(route, Route)}
        self._headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[_Message]], send: _Send
    ) -> None:
        """Pass the request on; add the headers where its answer starts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def named(message: _Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        await (self._scoring if scope["path"] in self._paths else self._app)(scope, receive, named)


async def in_turn(limiter: CapacityLimiter, work: Callable[[], Any]) -> Any:
    """Run `work` in a thread, one at a time: a model need not be safe to call from two threads."""
    return await run_sync(work, limiter=limiter)


def scoring_app(
    scorer: Callable[[], Scorer], identity: Mapping[str, Any], limiter: CapacityLimiter, body: type[BaseModel]
) -> Starlette:
    """Make the app with `/invocations`, `/predict`, `/ping`, `/health` and `/version`."""

    async def invocations(request: Request) -> Response:
        content = await request.body()
        return await answer(lambda: scorer().answer(content, request.headers.get("content-type")))

    async def predict(request: Request) -> Response:
        content = await request.body()
        return await answer(lambda: scorer().answer_typed(content, request.headers.get("content-type"), body))

    async def answer(work: Callable[[], bytes]) -> Response:
        try:
            return Response(await in_turn(limiter, work), media_type="application/json")
        except BadInput as error:
            return JSONResponse({"error": str(error)}, error.status)
        except TypeError as error:
            return JSONResponse({"error": f"The answer cannot be sent: {error}."}, 500)

    async def alive(_: Request) -> Response:
        return PlainTextResponse("\n")

    async def version(_: Request) -> Response:
        return JSONResponse(dict(identity))

    return Starlette(
        routes=[
            Route("/invocations", invocations, methods=["POST"]),
            Route("/predict", predict, methods=["POST"]),
            Route("/ping", alive),
            Route("/health", alive),
            Route("/version", version),
        ],
        exception_handlers={ClientDisconnect: _gone},
    )


async def _gone(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "The client went away before its request was whole."}, 400)
