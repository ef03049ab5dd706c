"""What a scoring request can get wrong."""

from __future__ import annotations

__all__ = ["BadInput", "Mismatch"]


class BadInput(ValueError):
    """A request cannot be scored; the message is one sentence for the one who sent it."""

    def __init__(self, message: str, status: int = 400) -> None:
        self.status = status
        super().__init__(message)


class Mismatch(BadInput):
    """One field of the input is not what the signature says.

    Attributes:
        field: The column, tensor or parameter; empty where it has no name.
        expected: The type or shape in the signature.
        found: What came; "nothing" where it is missing.
    """

    def __init__(self, message: str, field: str, expected: str, found: str) -> None:
        self.field = field
        self.expected = expected
        self.found = found
        super().__init__(message)
