"""Names of experiments: which can be one, and which are the same."""

from __future__ import annotations

import unicodedata

from ..errors import BadName

__all__ = ["LONGEST_NAME", "checked_experiment", "normal_name"]

LONGEST_NAME = 500  # PostgreSQL indexes names, and an index row has its limits
_UNFIT = {"Cc", "Cs", "Zl", "Zp"}  # controls, halves of characters, and what ends lines


def checked_experiment(name: str) -> str:
    """Give the name of an experiment, as it is kept.

    Raises:
        BadName: It cannot be one.
    """
    normal = normal_name(name)
    is_line = isinstance(name, str) and not _UNFIT.intersection(map(unicodedata.category, normal))  # pyright: ignore[reportUnnecessaryIsInstance]
    if is_line and normal == normal.strip() and 0 < len(normal) <= LONGEST_NAME:
        return normal
    shown = repr(name)
    shown = shown if len(shown) < 100 else f"{shown[:40]}..."
    raise BadName(
        f"{shown} cannot be the name of an experiment; use one line of at most {LONGEST_NAME} characters,"
        " with no blanks around it."
    )


def normal_name(name: str) -> str:
    """Give a name so that two are equal if they look so: accents can be written as characters of their own."""
    return unicodedata.normalize("NFC", str(name))
