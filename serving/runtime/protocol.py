"""Reading scoring requests: the MLflow 2 protocol, as JSON or CSV, into plain rows and columns.

Nothing here knows numpy or pandas; `signature` turns what is read into what the model takes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from .errors import BadInput

__all__ = [
    "KEYS",
    "Data",
    "Named",
    "Records",
    "Request",
    "Table",
    "Tensors",
    "check_media",
    "is_request",
    "read_request",
]

KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs")


@dataclass(frozen=True)
class Table:
    """Rows of cells; `columns` is None where the sender named none.

    Attributes:
        textual: Whether every cell is text that still has to be read as what its column is (CSV).
    """

    columns: tuple[str, ...] | None
    rows: Sequence[Sequence[Any]]
    textual: bool = False


@dataclass(frozen=True)
class Records:
    """Rows that each name their cells; one that leaves a column out has no value for it."""

    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Named:
    """Columns, or tensors, by name: what they are, the signature says."""

    values: Mapping[str, Any]


@dataclass(frozen=True)
class Tensors:
    """Nested lists, as they came."""

    data: Any


Data = Table | Records | Named | Tensors


@dataclass(frozen=True)
class Request:
    """Inputs to score, and the inference parameters that came with them."""

    data: Data
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])


def is_request(data: Any) -> bool:
    """Whether data was read from a request."""
    return isinstance(data, (Table, Records, Named, Tensors))


def read_request(body: bytes, content_type: str | None) -> Request:
    """Read the body of a scoring request.

    Raises:
        BadInput: It is not one; status 415 where the content type is not known.
    """
    media = check_media(content_type, "application/json", "text/csv")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("The body is not UTF-8 text; send it as such.") from error
    return Request(_read_csv(text)) if media == "text/csv" else _read_json(text)


def check_media(content_type: str | None, *known: str) -> str:
    """Give the media type of a request if it is one of those known.

    Raises:
        BadInput: It is not, or the body is not in UTF-8; status 415.
    """
    media, _, parameters = (content_type or "").partition(";")
    media = media.strip().lower()
    pairs = [parameter.strip().lower().partition("=") for parameter in parameters.split(";")]
    charset = next((value.strip('"') for name, _, value in pairs if name == "charset"), "")
    if media not in known:
        raise BadInput(f"Content type {media or '(none)'!r} is not known here; send {' or '.join(known)}.", 415)
    if charset not in ("", "utf-8", "utf8"):
        raise BadInput("The body has to be UTF-8; send it as such.", 415)
    return media


def _read_json(text: str) -> Request:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = error if isinstance(error, json.JSONDecodeError) else "it nests too deeply, or a number is too long"
        raise BadInput(f"The body is not JSON ({what}); send an object with one of {_named(KEYS)}.") from error
    if not isinstance(content, dict):
        raise BadInput(f"The body has to be a JSON object with one of {_named(KEYS)}.")
    request = cast("dict[str, Any]", content)
    given = [key for key in KEYS if key in request]
    if len(given) != 1:
        raise BadInput(f"The body has to have exactly one of {_named(KEYS)}; it has {_named(given) or 'none'}.")
    if unknown := set(request) - {*given, "params"}:
        raise BadInput(f"The body has the unknown key {min(unknown)!r}; send only {given[0]!r}.")
    return Request(_SHAPES[given[0]](request[given[0]]), _params(request.get("params")))


def _params(value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise BadInput("'params' has to be an object, with a value for each name.")
    return cast("dict[str, Any]", value or {})


def _split(value: Any) -> Table:
    if not isinstance(value, dict) or not isinstance(cast("dict[str, Any]", value).get("data"), list):
        raise BadInput("'dataframe_split' has to be an object with 'columns' and 'data'.")
    given = cast("dict[str, Any]", value)
    columns = given.get("columns")
    if columns is not None and not isinstance(columns, list):
        raise BadInput("'columns' of 'dataframe_split' has to be a list of names.")
    names = None if columns is None else tuple(str(name) for name in cast("list[Any]", columns))
    return _table(names, given["data"], "dataframe_split")


def _records(value: Any) -> Records:
    if not _is_list_of(value, dict):
        raise BadInput("'dataframe_records' has to be a list of objects, one per row.")
    return Records(value)


def _instances(value: Any) -> Records | Tensors:
    if not isinstance(value, list):
        raise BadInput("'instances' has to be a list, one item per row.")
    return Records(cast("Any", value)) if value and _is_list_of(value, dict) else Tensors(value)


def _inputs(value: Any) -> Records | Named | Tensors:
    if isinstance(value, dict):
        return Named(cast("dict[str, Any]", value))
    return Records(value) if value and _is_list_of(value, dict) else Tensors(value)


_SHAPES: dict[str, Callable[[Any], Data]] = {
    "dataframe_split": _split, "dataframe_records": _records, "instances": _instances, "inputs": _inputs,
}  # fmt: skip


def _read_csv(text: str) -> Table:
    try:
        lines = [line for line in csv.reader(io.StringIO(text), strict=True) if line]
    except csv.Error as error:
        raise BadInput(f"The body is not CSV ({error}); send a header line and one line per row.") from error
    if not lines:
        raise BadInput("The CSV body is empty; send a header line and one line per row.")
    header, rows = (lines[0], lines[1:]) if _is_header(lines[0]) else (None, lines)
    table = _table(None if header is None else tuple(header), rows, "the CSV body")
    return Table(table.columns, table.rows, textual=True)


def _is_header(line: list[str]) -> bool:
    # A table of unnamed columns is often written with their numbers as its header.
    return line == [str(number) for number in range(len(line))] or not all(_is_number(cell) for cell in line)


def _table(names: tuple[str, ...] | None, rows: Any, what: str) -> Table:
    if not _is_list_of(rows, list):
        raise BadInput(f"The rows of {what} have to be lists of values.")
    if names is not None and len(set(names)) != len(names):
        raise BadInput(f"{what.capitalize()} names a column twice; give each its own name.")
    width = len(names) if names is not None else len(rows[0]) if rows else 0
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise BadInput(f"Row {number} of {what} has {len(row)} values, not {width}; give each row the same number.")
    return Table(names, rows)


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in cast("list[Any]", value))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _named(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
