"""What runs the servers of endpoints, behind one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Order", "Server", "Target"]


@dataclass(frozen=True)
class Order:
    """One version of one endpoint, to be served."""

    name: str
    stage: str
    version: int

    def __str__(self) -> str:
        return f"{self.name} {self.stage} version {self.version}"


class Server(Protocol):
    """A running server of one version.

    Attributes:
        order: What it serves.
        url: Its private address, for the router only.
        run_id: The run that logged its model, or the empty text.
        example: A scoring request that it has to answer before anybody else's, or None.
    """

    order: Order
    url: str
    run_id: str
    example: bytes | None

    async def ended(self) -> str:
        """Wait until it ends by itself; give what it said last."""
        ...

    async def stop(self) -> None:
        """End it, by force where it does not end in time; a second time does nothing."""
        ...


class Target(Protocol):
    """A place where servers run."""

    async def start(self, order: Order) -> Server:
        """Start a server beside those that run; it need not be ready yet.

        Raises:
            PrefectMLError: It cannot be started; nothing is left behind.
        """
        ...

    def reap(self) -> int:
        """End servers that an earlier agent left behind; give how many."""
        ...
