"""What somebody may have meant who wrote a filter that does not parse."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from .syntax import Fault

__all__ = ["meant", "unexpected"]

_GROUPS = ("params", "metrics", "tags", "datasets", "source")
_QUOTES = "'\"`"
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`")
_WORD = re.compile(r"[^\s(),=<>!]+")
_BEFORE = re.compile(r"\w+\Z")
_OPERATORS = {"==": "=", "<>": "!=", "&&": "and", "||": "or", "=>": ">=", "=<": "<="}


def meant(word: str, known: Iterable[str], group: str = "") -> str:
    """Give `; did you mean ...?` with what is spelled almost like a word, or a full stop where nothing is."""
    found = _near(word, known)
    return f"; did you mean {group}{found}?" if found else "."


def _near(word: str, known: Iterable[str]) -> str | None:
    spelled = {one.lower(): one for one in known}
    found = get_close_matches(word.lower(), spelled, n=1)
    return spelled[found[0]] if found else None


def unexpected(what: str, text: str, position: int, expected: set[str]) -> Fault:
    """Tell what is wrong at a position, where a parser found none of the tokens that it expected.

    Args:
        what: The filter, or the order.
        text: All of it.
        position: Index of the first character that fits nothing.
        expected: Kinds of tokens that would have fitted.
    """
    return (
        _unknown_group(text, position)
        or _unclosed(text, position)
        or _unquoted(text, position, expected)
        or Fault(f"{what} has an unexpected {_shown(text, position)!r}{_advice(text, position)}", position + 1)
    )


def _unknown_group(text: str, position: int) -> Fault | None:
    """Tell of a name before a point that is not one behind which names stand."""
    before = _BEFORE.search(text, 0, position)
    if text[position] != "." or before is None:
        return None
    group, rest = before[0], text[position + 1 :]
    if group in _GROUPS and rest[:1] and rest[0] in _QUOTES:
        return _open(position + 1)
    if group in _GROUPS:
        return Fault(f"{group}. needs a name behind it, in backticks where it is an unusual one", before.start() + 1)
    name = _WORD.match(rest)
    field = f"{group}.{name[0] if name else ''}"
    found = _near(group, _GROUPS)
    hint = f"did you mean {found}{field[len(group) :]}?" if found else f"names stand behind {', '.join(_GROUPS)}"
    return Fault(f"There is no field {field!r}; {hint}", before.start() + 1)


def _unclosed(text: str, position: int) -> Fault | None:
    """Tell of a quote that opens and never closes, or that has taken the next opening one for its end."""
    if text[position] in _QUOTES and not _QUOTED.match(text, position):
        return _open(position)
    last = next((match for match in _QUOTED.finditer(text) if match.end() == position), None)
    if last is None or text.count(last[0][0], position) % 2 == 0:
        return None
    return Fault(
        f"The quote that opens here closes before {_shown(text, position)!r}; close it where the text ends,"
        " and double one that is part of a text",
        last.start() + 1,
    )


def _open(position: int) -> Fault:
    return Fault("The quote that opens here is not closed", position + 1)


def _unquoted(text: str, position: int, expected: set[str]) -> Fault | None:
    """Tell of a text without quotes."""
    word = _WORD.match(text, position)
    if "STRING" not in expected or word is None or text[position] in _QUOTES:
        return None
    if word[0].lower() in ("null", "none", "nan"):
        return Fault(f"Nothing compares with {word[0]}; ask whether a field `is null` or `is not null`", position + 1)
    quoted = word[0].replace("'", "''")
    return Fault(f"A text stands in quotes: '{quoted}'", position + 1)


def _advice(text: str, position: int) -> str:
    """Give what this language writes instead of an operator of another one."""
    for start in (position - 1, position):
        written = text[max(start, 0) : start + 2]
        if written in _OPERATORS:
            return f"; write {_OPERATORS[written]} instead of {written}"
    return ""


def _shown(text: str, position: int) -> str:
    word = re.match(r"\w+", text[position:])
    return word[0] if word else text[position]
