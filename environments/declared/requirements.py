"""Requirements files as one text, so that a digest over it covers all that an environment depends on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from ...errors import EnvironmentFailed
from .pyproject import requirement_name

__all__ = ["Requirements", "of_lines", "read_requirements", "without_own"]

_OTHER = re.compile(r"(?P<option>-r|--requirements?|-c|--constraints?)(?:\s*=\s*|\s+|(?<=-[rc]))(?P<file>\S.*)")
_ELSEWHERE = re.compile(
    r"-e\b|--editable\b|\.{1,2}(/|$|\[)|[/~]|file:|(-f|--find-links)[\s=]+(?!https?:)|[^\s@]+\s*@\s*(file:|\.|/)"
    r"|(?![a-z+]+://)\S+\.(whl|zip|tar\.gz)(\s|$)"
)
_COMMENT = re.compile(r"(^|\s)#.*$")


@dataclass(frozen=True)
class Requirements:
    """What requirements files say, with the files that they refer to written out.

    Attributes:
        text: The requirements.
        constraints: What may be installed at which version, if it is.
        files: All files that were read.
    """

    text: str
    constraints: str = ""
    files: frozenset[Path] = frozenset()

    @property
    def hashes(self) -> bool:
        """Whether packages are named with their hashes."""
        return "--hash=" in self.text


@dataclass
class _Reader:
    origin: str
    constraints: list[str] = field(default_factory=list[str])
    files: set[Path] = field(default_factory=set[Path])

    def read(self, file: Path, within: tuple[Path, ...] = ()) -> Iterator[str]:
        if file in within:
            raise EnvironmentFailed(f"{file} includes itself, by way of {within[-1]}; take one of these lines out.")
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise EnvironmentFailed(
                f"{self.origin} includes {file}, which cannot be read ({reason}); mend that line."
            ) from error
        self.files.add(file)
        yield from self.whole(text.splitlines(keepends=True), file.parent, (*within, file))

    def whole(self, lines: Iterable[str], folder: Path, within: tuple[Path, ...] = ()) -> Iterator[str]:
        for line in lines:
            words = _COMMENT.sub("", line).strip()
            if _ELSEWHERE.match(words):
                raise EnvironmentFailed(
                    f"{within[-1] if within else self.origin} asks for {words!r}, code of this"
                    " machine that no shared environment can hold; name a package with its version, or a Git address."
                )
            if not (other := _OTHER.fullmatch(words)):
                yield line
                continue
            included = self.read((folder / other["file"]).resolve(), within)
            if other["option"] in ("-r", "--requirement", "--requirements"):
                yield from _closed(included)
            else:
                self.constraints.extend(_closed(included))


def _closed(lines: Iterable[str]) -> Iterator[str]:
    return (line if line.endswith("\n") else line + "\n" for line in lines)


def read_requirements(file: Path) -> Requirements:
    """Read a requirements file, with those that it refers to.

    Raises:
        EnvironmentFailed: It refers to a file that is not there, or to code that is no package of an index.
    """
    reader = _Reader(str(file))
    text = "".join(reader.read(file.resolve()))
    return Requirements(text, "".join(reader.constraints), frozenset(reader.files))


def of_lines(lines: Iterable[str], *, folder: Path, origin: str) -> Requirements:
    """Read requirements that stand in another file.

    Args:
        lines: The requirements, one a line.
        folder: What the files that they refer to are relative to.
        origin: The file; for messages.

    Raises:
        EnvironmentFailed: As `read_requirements`.
    """
    reader = _Reader(origin)
    text = "".join(_closed(reader.whole(lines, folder)))
    return Requirements(text, "".join(reader.constraints), frozenset(reader.files))


def without_own(requirements: str, *, origin: str) -> tuple[str, bool]:
    """Take prefect-ml out of requirements: no index has it, and the running one is installed.

    Returns:
        The rest, and whether it was there.

    Raises:
        EnvironmentFailed: They ask for another prefect-ml than the running one.
    """
    kept: list[str] = []
    found = False
    for line in requirements.splitlines(keepends=True):
        if requirement_name(line) != "prefect-ml":
            kept.append(line)
            continue
        _check_own(_COMMENT.sub("", line).strip(), origin)
        found = True
    return "".join(kept), found


def _check_own(requirement: str, origin: str) -> None:
    running = version("prefect-ml")
    try:
        asked = Requirement(requirement)
    except InvalidRequirement:
        raise EnvironmentFailed(
            f"{origin} asks for {requirement!r}; leave prefect-ml out of a lock: the running one is installed."
        ) from None
    if asked.url or asked.extras or not asked.specifier.contains(running, prereleases=True):
        raise EnvironmentFailed(
            f"{origin} asks for {requirement!r}, but projects run with the prefect-ml that starts them, {running};"
            " ask for `prefect-ml` alone."
        )
