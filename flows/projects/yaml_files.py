"""YAML files of projects, read so that everything in them has a place, and nothing in them can do harm."""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

import yaml
from yaml.error import MarkedYAMLError
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from ...errors import ProjectError

__all__ = ["Field", "YamlFile", "is_empty", "load_yaml", "open_yaml", "suggestion"]

_LARGEST = 256 * 1024  # bytes; the files that people write have a few thousand
_DEEPEST = 40
_MOST_ALIASES = 200
_MOST_FIELDS = 2000
_MOST_SAID = 10  # mistakes that one message names
_MERGE = "tag:yaml.org,2002:merge"
_BLANK_OR_COMMENT = "#\0\n\r\x85\u2028\u2029"
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class _Loader(yaml.SafeLoader):
    """A loader that bears tabs before comments and line ends, and refuses what only an attack would contain."""

    _depth = 0
    _aliases = 0

    def scan_to_next_token(self) -> None:
        base, scanner = cast("Any", super()), cast("Any", self)  # PyYAML's scanner and composer have no types
        base.scan_to_next_token()
        while scanner.peek() == "\t":
            length = 1
            while scanner.peek(length) in (" ", "\t"):
                length += 1
            if scanner.peek(length) not in _BLANK_OR_COMMENT:
                return  # a tab that would be indentation or a separator: the scanner says so
            scanner.forward(length)
            base.scan_to_next_token()

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = cast("Any", self).peek_event()
        self._aliases += isinstance(event, AliasEvent)
        if self._depth >= _DEEPEST or self._aliases > _MOST_ALIASES:
            problem = "its values are nested too deeply" if self._depth >= _DEEPEST else "it has too many aliases"
            raise MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        self._depth += 1
        try:
            return cast("Any", super()).compose_node(parent, index)
        finally:
            self._depth -= 1


@dataclass(frozen=True)
class Field:
    """One key of a mapping, with its value.

    Attributes:
        name: The key's text.
        key: Its node.
        value: The value's node.
    """

    name: str
    key: Node
    value: Node


@dataclass(frozen=True)
class YamlFile:
    """The text of a YAML file, and what it says as a tree of nodes.

    Attributes:
        path: The file.
        text: What it contains, with line feeds as line ends.
        root: The outermost node; None for a file that says nothing.
        wrong: What is wrong in it as far as it was read, by the index into `text`.
    """

    path: Path
    text: str
    root: Node | None
    wrong: dict[int, str] = field(default_factory=dict[int, str], repr=False, compare=False)

    def refuse(self, node: Node, what: str, at: int | None = None) -> NoReturn:
        """Refuse the file because of one node; inside `part`, once the other parts have been read too.

        Args:
            node: The node.
            what: What is wrong and what to do, without a full stop.
            at: Index into `text` of the very place, where it is known.

        Raises:
            ProjectError: Always; it names file, line and column.
        """
        self.note(node, what, at)
        raise ProjectError(self._said())

    def note(self, node: Node, what: str, at: int | None = None) -> None:
        """Say that a node is wrong, as `refuse` does, and read on; `check` refuses the file."""
        self.wrong.setdefault(node.start_mark.index if at is None else at, what)

    @contextmanager
    def part(self) -> Generator[None]:
        """Read a part of the file: where it is refused, the rest is read all the same. Call `check` in the end."""
        with suppress(ProjectError):
            yield

    def check(self) -> None:
        """See that nothing in the file was wrong.

        Raises:
            ProjectError: Something was; it names all of it, each with file, line and column.
        """
        if self.wrong:
            raise ProjectError(self._said())

    def is_wrong(self, node: Node) -> bool:
        """Whether anything in a node was wrong."""
        return any(node.start_mark.index <= at < node.end_mark.index for at in self.wrong)

    def fields(self, node: Node, what: str, known: Sequence[str] | None = None) -> list[Field]:
        """Give the fields of a mapping; none of an empty value.

        Args:
            node: The mapping.
            what: How a message calls it: "a parameter".
            known: The names that it may have; None for any.

        Raises:
            ProjectError: It is no mapping. What it says twice, and what nothing knows, is left out and wrong.
        """
        if is_empty(node):
            return []
        found: dict[str, Field] = {}
        for entry in self._entries(node, what):
            name = entry.name
            if name in found:
                self.note(entry.key, f"{name!r} is there twice in {what}; leave one of them")
            elif self._is_known(entry, what, known):
                found[name] = entry
        return list(found.values()) if self._merged(node) is None else self._with_merged(node, what, found, known)

    def text_of(self, node: Node, what: str) -> str:
        """Give the text of a scalar as it was written.

        Raises:
            ProjectError: It is no scalar.
        """
        if not isinstance(node, ScalarNode):
            self.refuse(node, f"{what} must be text")
        return str(node.value)

    def items(self, node: Node, what: str) -> list[Node]:
        """Give the items of a list; none of an empty value.

        Raises:
            ProjectError: It is no list.
        """
        if is_empty(node):
            return []
        if not isinstance(node, SequenceNode):
            self.refuse(node, f"{what} must be a list")
        return list(node.value)

    def _said(self) -> str:
        said = [_placed(self.path, self.text, *one) for one in sorted(self.wrong.items())]
        more = len(said) - _MOST_SAID
        return " ".join([*said[:_MOST_SAID], *([f"{more} more mistakes follow."] if more > 0 else [])])

    def _entries(self, node: Node, what: str) -> Iterator[Field]:
        if not isinstance(node, MappingNode):
            self.refuse(node, f"{what} must be a mapping of names to values")
        if len(node.value) > _MOST_FIELDS:
            self.refuse(node, f"{what} has more than {_MOST_FIELDS} fields")
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.refuse(key, f"a name in {what} must be text")
            if key.tag != _MERGE:
                yield Field(str(key.value), key, value)

    def _merged(self, node: Node) -> Node | None:
        return next((value for key, value in node.value if key.tag == _MERGE), None)

    def _with_merged(self, node: Node, what: str, own: dict[str, Field], known: Sequence[str] | None) -> list[Field]:
        """Add what `<<: *anchor` takes from other mappings; a mapping merged so merges nothing itself."""
        merged = self._merged(node)
        assert merged is not None
        for source in merged.value if isinstance(merged, SequenceNode) else [merged]:
            if isinstance(source, MappingNode) and self._merged(source) is not None:
                self.refuse(merged, f"{what} merges a mapping that merges another one; write its fields out")
            for entry in self._entries(source, what):
                if self._is_known(entry, what, known):
                    own.setdefault(entry.name, entry)
        return list(own.values())

    def _is_known(self, entry: Field, what: str, known: Sequence[str] | None) -> bool:
        if known is None or entry.name in known:
            return True
        name, near = entry.name, suggestion(entry.name, known)
        self.note(entry.key, f"{what} has no field {name!r}{near}; it has {', '.join(known)}")
        return False


def is_empty(node: Node) -> bool:
    """Whether a value is left out, or written as null."""
    return isinstance(node, ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def suggestion(name: str, known: Sequence[str]) -> str:
    """Give `; did you mean 'x'` where one of the known names is near; else nothing."""
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}" if near else ""


def open_yaml(path: Path) -> YamlFile:
    """Read a YAML file as a tree of nodes.

    Raises:
        ProjectError: It is no file that can be read, far too large, no text, or no YAML.
    """
    text = _read(path)
    return YamlFile(path, text, _parsed(path, text, _Loader.get_single_node))


def load_yaml(path: Path) -> Any:
    """Read a YAML file as plain values.

    Raises:
        ProjectError: As `open_yaml`.
    """
    return _parsed(path, _read(path), _Loader.get_single_data)


def _parsed(path: Path, text: str, get: Callable[[_Loader], Any]) -> Any:
    try:
        loader = _Loader(text)
        try:
            return get(loader)
        finally:
            cast("Any", loader).dispose()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(" ".join(part for part in (error.context, error.problem) if part).split())
        _refuse(path, text, mark.index if mark else 0, f"this is not YAML: {reason}")
    except ReaderError as error:
        _refuse(path, text, int(error.position), f"this is not YAML: {error.reason}")
    except (ValueError, yaml.YAMLError) as error:
        _refuse(path, text, 0, f"this is not YAML: {' '.join(str(error).split())}")


def _refuse(path: Path, text: str, index: int, what: str) -> NoReturn:
    raise ProjectError(_placed(path, text, index, what))


def _placed(path: Path, text: str, index: int, what: str) -> str:
    line = text.count("\n", 0, index) + 1
    column = index - text.rfind("\n", 0, index)
    return f"{path}:{line}:{column}: {what}."


def _read(path: Path) -> str:
    if not path.is_file():
        raise ProjectError(f"{path}:1:1: this must be a file, and is none.")
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ProjectError(f"{path}:1:1: this cannot be read ({error.strerror}).") from error
    if len(content) > _LARGEST:
        raise ProjectError(f"{path}:1:1: this has more than {_LARGEST // 1024} kB, so it describes no project.")
    encoding = next((encoding for bom, encoding in _BOMS if content.startswith(bom)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise ProjectError(f"{path}:{line}:{column}: this is not {encoding} text; save it as UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
