"""Text that every database takes."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import TrackingError
from ..store.names import LONGEST_NAME

__all__ = ["checked_mapping", "checked_name", "checked_text", "checked_texts", "is_storable"]


def checked_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Give values by name as text.

    Raises:
        TrackingError: These are no values by name, or a name or a value is text that not every database takes.
    """
    checked_mapping(values)
    return {checked_name(name): checked_text(f"value of {name!r}", value) for name, value in values.items()}


def checked_mapping(values: Mapping[str, object]) -> None:
    """See that there are names to the values.

    Raises:
        TrackingError: This is no mapping.
    """
    if not isinstance(values, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TrackingError(f"Several are logged as a mapping of values by name, not as {type(values).__name__}.")


def checked_name(name: str) -> str:
    """Give the name of a param, metric or tag.

    Raises:
        TrackingError: It cannot be one.
    """
    if not isinstance(name, str) or not name or not is_storable(name):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TrackingError(f"{name!r} cannot name a param, metric or tag; use a text, not empty and without NUL.")
    if len(name) > LONGEST_NAME:
        raise TrackingError(f"The name {name[:40]!r}... has {len(name)} characters; use at most {LONGEST_NAME}.")
    return name


def checked_text(what: str, value: object) -> str:
    """Give a value as text; `what` names it where it is refused.

    Raises:
        TrackingError: Not every database takes it.
    """
    text = str(value)
    if not is_storable(text):
        raise TrackingError(f"The {what} has a NUL or half a character in it; log text without these.")
    return text


def is_storable(text: str) -> bool:
    """Whether every database takes a text."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text))
