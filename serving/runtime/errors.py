"""What a scoring request can get wrong."""

from __future__ import annotations

__all__ = ["BadInput"]


class BadInput(ValueError):
    """A request cannot be scored; the message is one sentence for the one who sent it."""

    def __init__(self, message: str, status: int = 400) -> None:
        self.status = status
        super().__init__(message)
