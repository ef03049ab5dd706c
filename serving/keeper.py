"""One endpoint, kept as it is wished: started, checked, switched over, watched, stopped."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import aiohttp

from ..errors import PrefectMLError, ServingError, StoreError
from ..store import Store
from .router import Route
from .targets import Order, Server, Target
from .wishes import Wish, write_actual

__all__ = ["Keeper"]

_READY_SECONDS = 120.0
_CHECK_SECONDS = 60.0
_DRAIN_SECONDS = 30.0
_LONGEST_PAUSE = 30.0
_log = logging.getLogger("prefect_ml.agent")


class Keeper:
    """Keeps one endpoint; takes wishes one after the other."""

    def __init__(self, route: Route, target: Target, store: Store, memory: Path) -> None:
        self._route = route
        self._target = target
        self._store = store
        self._memory = memory  # which version answered last, for the next agent
        self._server: Server | None = None
        self._wish: Wish | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()

    def tell(self, wish: Wish) -> None:
        """Work towards a wish; the same wish again changes nothing, another one takes its place."""
        if self._wish is None or wish.content != self._wish.content:
            self._wish = wish
            self._task = asyncio.create_task(self._fulfil(wish, after=self._task))

    async def close(self) -> None:
        """Stop the server; the wish stays, for the next agent."""
        await _cancelled(self._task)
        self._switch(None, "it is stopped")
        await asyncio.gather(*self._ending)
        if self._wish is not None and self._wish.version is not None:
            reason = "The agent of this host has been stopped; start it with `prefect-ml up`."
            await self._write(self._wish, status="Stopped", version=None, message=reason)

    async def _fulfil(self, wish: Wish, after: asyncio.Task[None] | None) -> None:
        try:
            await _cancelled(after)
            if wish.version is None:
                self._switch(None, "it is stopped")
                await asyncio.gather(*self._ending)
                self._memory.unlink(missing_ok=True)
                await self._write(wish, status="Stopped", version=None, message="")
                return
            if self._server is None:
                await self._resume(wish)
            trouble = await self._roll_out(wish, Order(wish.name, wish.stage, wish.version))
            await self._watch(wish, trouble)
        except Exception as error:  # noqa: BLE001 - the edge of a background task: the other endpoints go on
            _log.exception("Endpoint %s %s is no longer looked after", wish.name, wish.stage)
            await self._write_state(wish, f"The agent stumbled ({type(error).__name__}: {error}); see its log.")

    async def _resume(self, wish: Wish) -> None:
        """Let the version that answered under the last agent answer again, until the wished one does."""
        version = _remembered(self._memory)
        if version is None or version == wish.version:
            return
        try:
            self._switch(await self._healthy(Order(wish.name, wish.stage, version)))
        except PrefectMLError as error:
            _log.warning("%s", error)

    async def _roll_out(self, wish: Wish, order: Order) -> str:
        """Bring a version up beside the present one and switch over; give what went wrong, or nothing."""
        _log.info("Starting %s", order)
        await self._write(wish, status="Deploying", message="")
        try:
            server = await self._healthy(order)
        except PrefectMLError as error:
            _log.error("%s", error)
            await self._write_state(wish, str(error))
            return str(error)
        self._switch(server)
        await self._write_state(wish, "")
        _log.info("%s answers at %s", order, self._route.url)
        return ""

    async def _healthy(self, order: Order) -> Server:
        server = await self._target.start(order)
        try:
            await _check(server)
        except BaseException:
            await asyncio.shield(server.stop())
            raise
        return server

    async def _watch(self, wish: Wish, trouble: str) -> None:
        """Start the server again whenever it dies."""
        pause = 0.5
        while self._server is not None:
            order = self._server.order
            began = asyncio.get_running_loop().time()
            reason = await self._server.ended()
            pause = 0.5 if asyncio.get_running_loop().time() - began > 60 else min(pause * 2, _LONGEST_PAUSE)
            self._server = None
            self._route.switch(None, "its server died and is being started again")
            while not self._serves():
                message = f"The server of {order} died: {reason}; it is being started again."
                _log.error("%s", message)
                await self._write(wish, status="Deploying", version=None, message=message)
                try:
                    self._switch(await self._healthy(order))
                except PrefectMLError as error:
                    reason = str(error)
                    await self._write(wish, status="Failed", version=None, message=reason)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
            await self._write_state(wish, trouble)

    def _serves(self) -> bool:
        return self._server is not None

    def _switch(self, server: Server | None, reason: str = "") -> None:
        """Route to another server, or to none, and end the one before once it has answered what it was sent."""
        old, self._server = self._server, server
        self._route.switch(server, reason)
        if old is not None:
            # In a task of its own, because another wish must not interrupt it.
            ending = asyncio.create_task(self._end(old))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        if server is not None:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            self._memory.write_text(json.dumps({"version": server.order.version}))

    async def _end(self, server: Server) -> None:
        await self._route.drained(server, _DRAIN_SECONDS)
        await server.stop()
        _log.info("%s has been stopped", server.order)

    async def _write_state(self, wish: Wish, trouble: str) -> None:
        version = self._server.order.version if self._server else None
        status = "Ready" if not trouble else "Degraded" if self._server else "Failed"
        if not self._server:
            self._route.reason = "the version that shall be served is not healthy"
        await self._write(wish, status=status, version=version, message=trouble)

    async def _write(self, wish: Wish, **values: Any) -> None:
        # Whole even when the wish is given up meanwhile, so that writes keep their order.
        await asyncio.shield(asyncio.ensure_future(self._write_in_turn(wish, values)))

    async def _write_in_turn(self, wish: Wish, values: dict[str, Any]) -> None:
        async with self._writing:
            for pause in (0.5, 1, 2, 4):
                try:
                    return await asyncio.to_thread(write_actual, self._store, wish, url=self._route.url, **values)
                except StoreError as error:
                    _log.warning("%s", error)
                    await asyncio.sleep(pause)
        return None


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


async def _check(server: Server) -> None:
    """See that a server is ready and answers its model's own example."""
    ended = asyncio.create_task(server.ended())
    healthy = asyncio.create_task(_ask(server))
    try:
        await asyncio.wait([ended, healthy], return_when=asyncio.FIRST_COMPLETED)
        if not healthy.done():
            raise ServingError(f"The server of {server.order} did not start: {ended.result()}.")
        healthy.result()
    finally:
        ended.cancel()
        healthy.cancel()


async def _ask(server: Server) -> None:
    order = server.order
    try:
        async with aiohttp.ClientSession(server.url) as session:
            async with asyncio.timeout(_READY_SECONDS):
                while not await _answers(session):
                    await asyncio.sleep(0.1)
            async with asyncio.timeout(_CHECK_SECONDS):
                await _score_example(session, server)
    except TimeoutError:
        raise ServingError(f"The server of {order} did not answer its health check in time.") from None
    except aiohttp.ClientError as error:
        raise ServingError(f"The server of {order} broke off its health check ({error}).") from error


async def _answers(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _score_example(session: aiohttp.ClientSession, server: Server) -> None:
    if server.example is None:
        return
    json_type = {"Content-Type": "application/json"}
    async with session.post("/invocations", data=server.example, headers=json_type) as answer:
        if answer.status != 200:
            said = (await answer.text())[:300]
            raise ServingError(
                f"{server.order} failed its health check: it answered {answer.status} to its own example ({said})."
            )


def _remembered(memory: Path) -> int | None:
    try:
        return int(json.loads(memory.read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
