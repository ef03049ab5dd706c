"""The agent: the one resident process of a host that owns its endpoints' ports and servers."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from ..errors import PrefectMLError, ServiceError, ServingError, StoreError
from ..processes import Owner, is_alive, this_process
from ..registry import relay_pending
from ..settings import Settings
from ..store import Store, open_store
from .keeper import Keeper
from .process_server import ProcessServer
from .router import Router
from .targets import Target
from .wishes import Wish, read_wishes, write_actual

__all__ = ["run_agent"]

_POLL = 0.3
_RELAY = 1.0
_log = logging.getLogger("prefect_ml.agent")


def run_agent(settings: Settings, *, api_url: Callable[[], str | None] = lambda: None) -> None:
    """Own this host's endpoints until SIGTERM or SIGINT.

    Args:
        settings: Where things are kept.
        api_url: Gives the address of the Prefect API that events are relayed to, or None while there is none.

    Raises:
        ServiceError: Another agent runs with the same home.
        StoreError: The store cannot be opened.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    store = open_store(settings)
    _become_the_one(settings.endpoints / "agent.json")
    asyncio.run(_run(store, api_url))


async def _run(store: Store, api_url: Callable[[], str | None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    target = ProcessServer(store)
    if orphans := target.reap():
        _log.info("Ended %d servers that an earlier agent had left", orphans)
    agent = _Agent(store, target)
    _log.info("The agent runs, process %d", os.getpid())
    relay = asyncio.create_task(_relay(store, api_url))
    try:
        while not stop.is_set():
            await agent.look()
            await _pause(stop, _POLL)
    finally:
        relay.cancel()
        await agent.close()
        _log.info("The agent has ended")


class _Agent:
    """The keepers of all endpoints of this host."""

    def __init__(self, store: Store, target: Target) -> None:
        self._store = store
        self._target = target
        self._router = Router(salt=str(store.settings.home))
        self._keepers: dict[tuple[str, str], Keeper] = {}
        self._trouble: dict[tuple[str, str], str] = {}

    async def look(self) -> None:
        """Read what is wished for, and tell the keepers."""
        try:
            wishes = await asyncio.to_thread(read_wishes, self._store)
        except StoreError as error:
            _log.warning("%s", error)
            return
        for wish in wishes:
            if keeper := self._keepers.get(wish.key) or await self._keeper(wish, wishes):
                keeper.tell(wish)

    async def close(self) -> None:
        """Stop all servers and give up all ports."""
        await asyncio.gather(*(keeper.close() for keeper in self._keepers.values()))
        await self._router.close()

    async def _keeper(self, wish: Wish, all_: list[Wish]) -> Keeper | None:
        taken = {int(other.url.rpartition(":")[2]) for other in all_ if other.url}
        try:
            route = await self._router.open(wish.name, wish.stage, wish.url, taken)
        except ServingError as error:
            await self._complain(wish, str(error))
            return None
        folder = self._store.settings.endpoints / quote(f"{wish.name}-{wish.stage}", safe="")
        self._keepers[wish.key] = Keeper(route, self._target, self._store, folder / "answered.json")
        return self._keepers[wish.key]

    async def _complain(self, wish: Wish, message: str) -> None:
        if self._trouble.get(wish.key) == f"{wish.content} {message}":
            return  # it is written already; the port is tried again all the time
        _log.error("%s", message)
        if wish.version is not None:
            await asyncio.to_thread(write_actual, self._store, wish, status="Failed", version=None, message=message)
        self._trouble[wish.key] = f"{wish.content} {message}"


async def _relay(store: Store, api_url: Callable[[], str | None]) -> None:
    """Hand events to Prefect for ever."""
    trouble = ""
    while True:
        try:
            if address := await asyncio.to_thread(api_url):
                auth = os.environ.get("PREFECT_API_AUTH_STRING")
                await asyncio.to_thread(relay_pending, address, auth=auth, store=store)
            trouble = ""
        except PrefectMLError as error:
            if str(error) != trouble:
                trouble = str(error)
                _log.warning("%s", trouble)
        await asyncio.sleep(_RELAY)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


def _become_the_one(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file.open("a+") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)  # only while looking: the owner is known by what is written
        opened.seek(0)
        try:
            other = Owner(**json.loads(opened.read()))
        except (ValueError, TypeError):
            other = None
        if other is not None and other.pid != os.getpid() and is_alive(other):
            raise ServiceError(
                f"Another agent (process {other.pid}) owns the endpoints of {file.parent}; stop it first."
            )
        opened.truncate(0)
        opened.write(json.dumps(asdict(this_process())))
