"""Values of an entry point's parameters: checked all before the start, and formed into its command."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...errors import ProjectError
from .model import EntryPoint, Parameter
from .shell import UnsafeValue, fill
from .template import BadCommand, Placeholder, pieces_of

__all__ = ["Checked", "check_params", "command_of"]

_URL = re.compile(r"(?:[\w+.-]+::)*[A-Za-z][A-Za-z0-9+.-]+:/", re.ASCII)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x1f\x7f]+", re.ASCII)
# Defaults of numbers by which authors of projects say "none"; their programs know what to make of them.
_NOTHING = ("None", "null", "")
_ARTICLES = {"int": "an int", "float": "a float", "uri": "a URI such as s3://bucket/key"}


@dataclass(frozen=True)
class Checked:
    """Values that fit an entry point.

    Attributes:
        raw: Every value as text, by name, as it was given or as its default was written: what the store keeps.
        values: The same as the command gets them: those of type path are absolute paths of what is there.
        paths: The files and folders that those of type path name.
        extra: Names that the entry point does not declare, in the order given; appended as `--name value`.
        warnings: A sentence for each of them that looks like a declared one.
    """

    raw: Mapping[str, str] = field(default_factory=dict[str, str])
    values: Mapping[str, str] = field(default_factory=dict[str, str])
    paths: tuple[Path, ...] = ()
    extra: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_params(
    point: EntryPoint,
    given: Mapping[str, object],
    *,
    folder: Path | None = None,
    cwd: Path | None = None,
    download: Callable[[str], Path] | None = None,
) -> Checked:
    """Check the values that an entry point is to run with.

    Args:
        point: An entry point with a command.
        given: Values by name: text, or Python values. None stands for a value that is not given.
        folder: The project, in which a default of type path is looked for first.
        cwd: Where relative paths start; by default the working directory.
        download: Brings what a URL names for a parameter of type path to this machine, and gives its path; called
            only when everything else fits. Without it, URLs stay as they are.

    Raises:
        ProjectError: Some do not fit, or cannot be downloaded; one message names them all.
    """
    problems: list[str] = []
    raw = _texts(point, given, problems)
    wanted = [(one, given.get(one.name) is None) for one in point.parameters.values() if one.name in raw]
    paths = _fitting([(one, is_default, _places(is_default, folder, cwd)) for one, is_default in wanted], raw, problems)
    remote = [name for name in raw if _type_of(point, name) == "path" and name not in paths]
    checked = Checked(raw, _with(raw, paths), extra=_extra(point, raw))
    if not problems:
        problems.extend(_unsafe(point, checked))
    if not problems and download:
        paths.update(_downloaded({name: raw[name] for name in remote}, download, problems))
    if problems:
        raise ProjectError(f"The entry point {point.name!r} cannot run: {'; '.join(problems)}.")
    warnings = tuple(_warnings(point, checked.extra))
    return Checked(raw, _with(raw, paths), tuple(paths.values()), checked.extra, warnings)


def command_of(point: EntryPoint, checked: Checked) -> str:
    """Form the shell command of an entry point.

    Args:
        point: An entry point with a command.
        checked: Its values.

    Raises:
        ProjectError: The command is none, or a value cannot stand where its placeholder stands.
    """
    if point.command is None:
        raise ProjectError(f"The entry point {point.name!r} is a flow, not a command; run it as a flow.")
    extra = [word for name in checked.extra for word in (f"--{name}", checked.values[name])]
    try:
        return fill(_pieces(point), checked.values, extra)
    except (BadCommand, UnsafeValue) as error:
        raise ProjectError(f"The entry point {point.name!r} cannot run: {error}.") from error


def _fitting(
    wanted: Iterable[tuple[Parameter, bool, list[Path]]], raw: Mapping[str, str], problems: list[str]
) -> dict[str, Path]:
    """Give the files and folders that values name, by the names of the parameters, and say what does not fit.

    Args:
        wanted: Each parameter that has a value, whether that is its default, and where a relative path may lie.
        raw: The values.
        problems: Gets a sentence for each that does not fit.
    """
    paths: dict[str, Path] = {}
    for parameter, is_default, places in wanted:
        text = raw[parameter.name]
        if problem := _misfit(parameter, text, places, is_default=is_default):
            problems.append(problem)
        elif parameter.type == "path" and (path := _existing(text, places)):
            paths[parameter.name] = path
    return paths


def _downloaded(urls: Mapping[str, str], download: Callable[[str], Path], problems: list[str]) -> dict[str, Path]:
    """Bring to this machine what the URLs lead to, by the names of the parameters."""
    paths: dict[str, Path] = {}
    for name, url in urls.items():
        try:
            paths[name] = download(url).absolute()
        except ProjectError as error:
            problems.append(f"{name} must be a path, but what its URL leads to cannot be had: {_unstopped(error)}")
    return paths


def _with(raw: Mapping[str, str], paths: Mapping[str, Path]) -> dict[str, str]:
    return {**raw, **{name: str(path) for name, path in paths.items()}}


def _pieces(point: EntryPoint) -> list[str | Placeholder]:
    return pieces_of(point.command or "", point.parameters)


def _unsafe(point: EntryPoint, checked: Checked) -> list[str]:
    try:
        command_of(point, checked)
    except ProjectError as error:
        return [_unstopped(error.__cause__ or error)]
    return []


def _unstopped(error: BaseException) -> str:
    """Give what an error says as a part of a longer sentence."""
    return str(error).rstrip(".")


def _texts(point: EntryPoint, given: Mapping[str, object], problems: list[str]) -> dict[str, str]:
    """Give every value as text: first the declared ones, then the others."""
    texts: dict[str, str] = {}
    for name in [*point.parameters, *(name for name in given if name not in point.parameters)]:
        value, declared = given.get(name), point.parameters.get(name)
        value = declared.default if value is None and declared else value
        if value is None and declared:
            problems.append(f"{name} has no value; give it with -P {name}=VALUE")
        elif value is not None:
            try:
                texts[name] = _text(value, declared)
            except (TypeError, ValueError) as error:
                problems.append(f"{_shown(name)} {error}")
        if not name or "\0" in name or name != name.strip():
            problems.append(f"no parameter can be called {name!r}")
    return texts


def _text(value: object, declared: Parameter | None) -> str:
    wanted = declared.type if declared else "string"
    if isinstance(value, bool) and wanted in ("int", "float"):
        raise ValueError(f"must be {_ARTICLES[wanted]}, not {value}")
    if isinstance(value, float) and wanted == "int" and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("cannot be bytes; give text")
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else str(value)
    if "\0" in text:
        raise ValueError("cannot have a NUL character")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError("has characters that no program can be given") from error
    return text


def _misfit(parameter: Parameter, text: str, places: list[Path], *, is_default: bool) -> str | None:
    """Say what is wrong with a value; None for nothing."""
    name, shown = parameter.name, _shown(text)
    if parameter.type == "path":
        found = _URL.match(text) is not None and not text.startswith("file:")
        return None if found or _existing(text, places) else f"{name} must be a path, but there is no {shown}"
    fits = parameter.type != "uri" or _URI.fullmatch(text) is not None
    if parameter.type in ("int", "float") and not (is_default and text in _NOTHING):
        try:
            _ = int(text) if parameter.type == "int" else float(text)
        except ValueError:
            fits = False
    return None if fits else f"{name} must be {_ARTICLES[parameter.type]}, not {shown}"


def _type_of(point: EntryPoint, name: str) -> str:
    return point.parameters[name].type if name in point.parameters else "string"


def _places(is_default: bool, folder: Path | None, cwd: Path | None) -> list[Path]:
    """Give the folders in which a relative path may lie: a default's is the project first, for its author wrote it."""
    here = (cwd or Path.cwd()).absolute()
    return [folder.absolute(), here] if is_default and folder else [here]


def _existing(text: str, places: list[Path]) -> Path | None:
    if text.startswith("file:"):
        text = unquote(urlsplit(text).path)
    if not text:
        return None
    try:
        candidates = [Path(os.path.abspath(place / Path(text).expanduser())) for place in places]
        return next((path for path in candidates if path.exists()), None)
    except (OSError, ValueError, RuntimeError):  # a name too long, a loop of links, `~nobody`
        return None


def _extra(point: EntryPoint, raw: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in raw if name not in point.parameters)


def _warnings(point: EntryPoint, extra: tuple[str, ...]) -> list[str]:
    near = {name: difflib.get_close_matches(name, point.parameters, 1, 0.75) for name in extra}
    return [
        f"The entry point {point.name!r} declares no parameter {name!r} (did you mean {found[0]!r}?);"
        f" it is appended as --{name}."
        for name, found in near.items()
        if found
    ]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:79]}…")
