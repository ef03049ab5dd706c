"""Values in shell commands: each arrives as it is, wherever in the command its placeholder stands.

How a value must be written depends on where it stands: bare, in double or in single quotes, in `$(...)`. A scanner
follows the command as bash would read it. Where no way of writing is safe for every value (arithmetic, backticks,
`${...}`, the script that `bash -c` is given), only values of plain characters are let through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .template import BadCommand, Placeholder

__all__ = ["UnsafeValue", "check_contexts", "fill"]

_BARE = re.compile(r"[\w@%+:./-]+", re.ASCII)
_PLAIN = re.compile(r"[\w@%+:./,=-]+", re.ASCII)
_IN_DOUBLE_QUOTES = re.compile(r'([\\"$`])')
_OPENERS = {
    "$((": "arithmetic",
    "((": "arithmetic command",
    "$[": "old arithmetic",
    "[[": "test",
    "$(": "substitution",
    "${": "brace",
    "$'": "ansi",
    "`": "backtick",
    '"': "double",
    "'": "single",
}
_FRAGILE = {
    "arithmetic": "arithmetic",
    "arithmetic command": "arithmetic",
    "old arithmetic": "arithmetic",
    "test": "[[ ]]",
    "brace": "${ }",
    "backtick": "backticks",
    "ansi": "$' '",
    "array": "an array",
}
_CLOSERS = {
    "array": ")",
    "old arithmetic": "]",
    "brace": "}",
    "backtick": "`",
    "ansi": "'",
    "single": "'",
    "double": '"',
}
_CASE = re.compile(r"case[\s\\]")
_SECOND_SHELL = re.compile(r"(?:^|[\s/])(?:ba|da|z|k|a)?sh(?:\s+-o\s+\w+|\s+[-+]\w+)*\s+-\w*c\s+\S*$")
_EVALUATES = re.compile(
    r"^\s*(?:(?:\w+=\S*|command|builtin|exec|sudo|then|do|else|elif|if|while|until|time|!|\{)\s+)*"
    r"(?:eval|let|trap|su|ssh)(?:\s|$)"
)


class UnsafeValue(ValueError):
    """A value that cannot stand where its placeholder stands; `name` is the parameter's."""

    def __init__(self, name: str, where: str) -> None:
        self.name = name
        super().__init__(
            f"{name} stands in {where}, where the shell would evaluate it:"
            " it can have only letters, digits and any of `@%+=:,./_-` there"
        )


def fill(pieces: Sequence[str | Placeholder], values: Mapping[str, str], extra: Sequence[str] = ()) -> str:
    """Form the command that hands the values over.

    Args:
        pieces: The command, split into what the shell gets as it is, and placeholders.
        values: A value for each placeholder.
        extra: Words to append.

    Raises:
        BadCommand: A placeholder stands where no value can.
        UnsafeValue: A value cannot stand where its placeholder stands.
    """
    scanner = _Scanner()
    filled: list[str] = []
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        if isinstance(piece, str):
            scanner.feed(piece)
            filled.append(piece)
        else:  # in `2>file` a bare number would be a file descriptor
            redirected = isinstance(following, str) and following[:1] in ("<", ">")
            filled.append(scanner.written(piece.name, values[piece.name], quoted=redirected))
    if not extra:
        return "".join(filled)
    if not scanner.complete:
        raise BadCommand(
            "", "nothing can be appended to a command that ends within a comment, a quote or a here-document"
        )
    return " ".join([_ended("".join(filled)), *map(_bare, extra)])


def check_contexts(pieces: Sequence[str | Placeholder]) -> None:
    """Refuse a command in which a placeholder stands where no value can.

    Raises:
        BadCommand: One does.
    """
    fill(pieces, {piece.name: "x" for piece in pieces if isinstance(piece, Placeholder)})


def _ended(command: str) -> str:
    """Take from a command's end what would keep words from being appended."""
    text = command.rstrip()
    while (len(text) - len(text.rstrip("\\"))) % 2:
        if command[len(text) :][:1] not in ("", "\n"):
            return command[: len(text) + 1]  # an escaped blank
        text = text[:-1].rstrip()  # each line ends in a backslash, the last one too
    return text


@dataclass
class _Frame:
    """Something open: quotes, a substitution, or (outermost) the command itself.

    `said` is the text so far of the simple command in it, without what stands in quotes.
    """

    kind: str
    said: str = ""
    parentheses: int = 0

    @property
    def holds_commands(self) -> bool:
        return self.kind in ("command", "substitution", "subshell")


@dataclass
class _Scanner:
    """Follows a command, character by character, as bash reads it."""

    frames: list[_Frame] = field(default_factory=lambda: [_Frame("command")])
    escaping: bool = False
    comment: bool = False
    unclear: str = ""  # what keeps the rest of the command from being understood
    before: str = "\n"  # the character before, which says whether a word starts

    @property
    def top(self) -> _Frame:
        return self.frames[-1]

    @property
    def complete(self) -> bool:
        return len(self.frames) == 1 and not self.comment and not self.unclear

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            escaped = self.escaping
            step = self._step(text, at)
            here = text[at + step - 1]
            at += step
            # A backslash and a line break are nothing at all; another escaped character is part of a word.
            if not self.escaping and not (escaped and here == "\n"):
                self.before = "x" if escaped else here

    def written(self, name: str, value: str, *, quoted: bool = False) -> str:
        """Write a value so that it arrives as it is where the scanner stands; bare ones in quotes if need be."""
        placeholder = f"{{{name}}}"
        if self.unclear:
            raise BadCommand(placeholder, f"the placeholder `{placeholder}` comes after {self.unclear}; put it before")
        if self.escaping or (self.before == "$" and self.top.kind != "single"):
            sign = "\\" if self.escaping else "$"
            raise BadCommand(placeholder, f"`{sign}` stands before the placeholder `{placeholder}`; part them")
        self.before = "x"
        fragile = self._fragile()
        if fragile is not None and not self.comment:
            if not _PLAIN.fullmatch(value):
                raise UnsafeValue(name, fragile)
            return value
        if self.top.holds_commands:
            self.top.said += "x"
            # A line break would end the comment, and what follows it would be a command.
            return _bare(" ".join(value.split()) if self.comment else value, quoted=quoted)
        if self.top.kind == "single":
            return value.replace("'", "'\\''")
        return _IN_DOUBLE_QUOTES.sub(r"\\\1", value)

    def _fragile(self) -> str | None:
        for frame in self.frames:
            if frame.kind in _FRAGILE:
                return _FRAGILE[frame.kind]
            if frame.holds_commands and _EVALUATES.search(frame.said):
                return "a command that evaluates its arguments"
            if (
                frame.holds_commands
                and _SECOND_SHELL.search(frame.said)
                and (frame.said[-1:].strip() or frame is not self.top)
            ):
                return "the script of a second shell"
        return None

    def _step(self, text: str, at: int) -> int:
        """Take what stands at an index, and say how many characters it has."""
        here, kind = text[at], self.top.kind
        if self.escaping or self.comment:
            self._say(" " if here == "\n" else "x")
            self.top.said = "" if self.comment else self.top.said
            self.escaping, self.comment = False, self.comment and here != "\n"
            return 1
        if here == "\\" and kind != "single":
            self.escaping = True
            return 1
        if here == _CLOSERS.get(kind):
            return self._close()
        if kind in ("single", "ansi", "backtick"):
            return 1
        return self._close_fragile(text, at) or self._open(text, at) or self._plain(text, at)

    def _open(self, text: str, at: int) -> int:
        for opener, kind in _OPENERS.items():
            if text.startswith(opener, at) and self._opens(opener, text[at + len(opener) :][:1]):
                return self._push(kind, len(opener))
        return 0

    def _opens(self, opener: str, following: str) -> bool:
        top = self.top
        if opener == "[[" and following.strip():
            return False
        if opener in ("((", "[["):
            return top.holds_commands and self._at_word_start()
        if opener in ("'", '"', "$'") and top.kind.endswith(("arithmetic", "arithmetic command")):
            self.unclear = "a quote in arithmetic"
        if opener in ("'", "$'"):
            if top.kind == "brace" and any(frame.kind == "double" for frame in self.frames):
                self.unclear = "a single quote in `${...}` in double quotes"  # shells differ on what it means
            return top.kind != "double"
        return True

    def _plain(self, text: str, at: int) -> int:
        here, top = text[at], self.top
        if not top.holds_commands:
            return 1
        if here == "#" and self.before == ")":
            self.unclear = "`)#`"
        if here == "#" and self._at_word_start():
            self.comment = True
        elif here == "(":
            # After a mistake in an array, bash goes on with the next line, which may be one of a value.
            self._push("array" if self.before == "=" else "subshell", 1)
        elif here == ")" and top.kind != "command":
            self._close()
        elif text.startswith("<<<", at):
            return 3
        elif text.startswith("<<", at):
            self.unclear = "a here-document"
        elif _CASE.match(text, at) and self._at_word_start() and any(f.kind == "substitution" for f in self.frames):
            self.unclear = "`case` in `$(...)`"
        elif here in ";&|\n":
            top.said = ""
        else:
            top.said += here
        return 1

    def _close_fragile(self, text: str, at: int) -> int:
        here, top = text[at], self.top
        if top.kind == "test":
            return self._close(2) if text.startswith("]]", at) and not self.before.strip() else 0
        if top.kind == "old arithmetic" and here == "[":
            self.unclear = "`[` in `$[...]`"
        if top.kind not in ("arithmetic", "arithmetic command"):
            return 0
        if here in "()" and (here == "(" or top.parentheses):
            top.parentheses += 1 if here == "(" else -1
            return 1
        if text.startswith("))", at):
            return self._close(2)
        if here == ")":
            self.unclear = "`((` without `))`"
        return 0

    def _push(self, kind: str, length: int) -> int:
        self.frames.append(_Frame(kind))
        return length

    def _close(self, length: int = 1) -> int:
        self.frames.pop()
        self._say("x")
        return length

    def _say(self, text: str) -> None:
        if self.top.holds_commands:
            self.top.said += text

    def _at_word_start(self) -> bool:
        return self.before in " \t\n;&|(<>"


def _bare(value: str, *, quoted: bool = False) -> str:
    return value if _BARE.fullmatch(value) and not quoted else "'" + value.replace("'", "'\"'\"'") + "'"
