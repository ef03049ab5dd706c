"""Commands of entry points: which of their braces are placeholders, and which are the shell's own.

What Python's `str.format` can fill is filled as it would be: `{name}` is a placeholder, `{{` and `}}` are braces. What
`str.format` refuses is left to the shell where it cannot be a placeholder: `{print $1}`, `{1..5}`, `{}`. `${NAME}` is
the shell's, but for a NAME that is a parameter's: who writes that means the parameter. `${{NAME}}` always is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

__all__ = ["BadCommand", "Placeholder", "pieces_of"]

_NAMELIKE = re.compile(r"[^\W\d][\w-]*")
_AROUND_A_NAME = re.compile(r"\s*([\w-]+)\s*(?:[:!.\[].*)?", re.DOTALL)
_GROUP = re.compile(r"\{([^{}]*)\}")


class BadCommand(ValueError):
    """A command that cannot be filled; `found` is the text in it that is wrong."""

    def __init__(self, found: str, what: str) -> None:
        self.found = found
        super().__init__(what)


@dataclass(frozen=True)
class Placeholder:
    """Where the value of a parameter goes."""

    name: str


def pieces_of(command: str, declared: Collection[str]) -> list[str | Placeholder]:
    """Split a command into what the shell gets as it is, and placeholders.

    Args:
        command: The command as its author wrote it.
        declared: Names of the declared parameters.

    Raises:
        BadCommand: A placeholder names no declared parameter, or is not just a name.
    """
    joined: list[str | Placeholder] = []
    for piece in _split(command, declared):
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _split(command: str, declared: Collection[str]) -> Iterator[str | Placeholder]:
    at = opened = 0  # opened: braces of the shell that wait for their end
    while at < len(command):
        two = command[at : at + 2]
        group = _GROUP.match(command, at)
        variable = _GROUP.match(command, at + 1) if two == "${" else None
        if variable and variable.group(1) in declared:
            yield Placeholder(variable.group(1))
            at = variable.end()
        elif two == "${" and command[at : at + 3] != "${{":
            yield two
            opened, at = opened + 1, at + 2
        elif two == "{{" or (two == "}}" and not opened):
            yield two[0]
            at += 2
        elif group:
            yield _placeholder(group, declared)
            at = group.end()
        else:
            opened = max(0, opened + (two[:1] == "{") - (two[:1] == "}"))
            yield two[:1]
            at += 1


def _placeholder(group: re.Match[str], declared: Collection[str]) -> str | Placeholder:
    text = group.group(1)
    if text in declared:
        return Placeholder(text)
    around = _AROUND_A_NAME.fullmatch(text)
    if around and around.group(1) in declared:
        raise BadCommand(group.group(), f"write `{{{around.group(1)}}}`: a placeholder is a parameter's name, no more")
    if _NAMELIKE.fullmatch(text):
        near = difflib.get_close_matches(text, declared, 1)
        meant = f"did you mean {near[0]!r}? D" if near else "d"
        raise BadCommand(
            group.group(),
            f"the placeholder `{group.group()}` names no declared parameter; {meant}eclare it,"
            f" or write `{{{group.group()}}}` for braces that the shell is to see",
        )
    return group.group()
