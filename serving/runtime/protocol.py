"""Reading scoring requests: the MLflow 2 protocol, as JSON or CSV, into plain rows and columns.

Nothing here knows numpy or pandas; `enforce` turns what is read into what the model takes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from .errors import BadInput

__all__ = ["Table", "Tensors", "check_media", "read_request"]

_KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs")


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
class Tensors:
    """Nested lists, as they came."""

    data: Any


def read_request(body: bytes, content_type: str | None) -> Table | Tensors:
    """Read the body of a scoring request.

    Raises:
        BadInput: It is not one; status 415 where the content type is not known.
    """
    media = check_media(content_type, "application/json", "text/csv")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("The body is not UTF-8 text; send it as such.") from error
    return _read_csv(text) if media == "text/csv" else _read_json(text)


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


def _read_json(text: str) -> Table | Tensors:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = error if isinstance(error, json.JSONDecodeError) else "it nests too deeply, or a number is too long"
        raise BadInput(f"The body is not JSON ({what}); send an object with one of {_named(_KEYS)}.") from error
    if not isinstance(content, dict):
        raise BadInput(f"The body has to be a JSON object with one of {_named(_KEYS)}.")
    request = cast("dict[str, Any]", content)
    given = [key for key in _KEYS if key in request]
    if len(given) != 1:
        raise BadInput(f"The body has to have exactly one of {_named(_KEYS)}; it has {_named(given) or 'none'}.")
    if unknown := set(request) - {*given, "params"}:
        raise BadInput(f"The body has the unknown key {min(unknown)!r}; send only {given[0]!r}.")
    if request.get("params"):
        raise BadInput("This model takes no params; leave them out.")
    return _SHAPES[given[0]](request[given[0]])


def _split(value: Any) -> Table:
    if not isinstance(value, dict) or not isinstance(cast("dict[str, Any]", value).get("data"), list):
        raise BadInput("'dataframe_split' has to be an object with 'columns' and 'data'.")
    given = cast("dict[str, Any]", value)
    columns = given.get("columns")
    if columns is not None and not isinstance(columns, list):
        raise BadInput("'columns' of 'dataframe_split' has to be a list of names.")
    names = None if columns is None else tuple(str(name) for name in cast("list[Any]", columns))
    return _table(names, given["data"], "dataframe_split")


def _records(value: Any) -> Table:
    if not _is_list_of(value, dict):
        raise BadInput("'dataframe_records' has to be a list of objects, one per row.")
    records = cast("list[dict[str, Any]]", value)
    names = tuple(dict.fromkeys(name for record in records for name in record))
    return Table(names, [[record.get(name) for name in names] for record in records])


def _instances(value: Any) -> Table | Tensors:
    if not isinstance(value, list):
        raise BadInput("'instances' has to be a list, one item per row.")
    return _records(cast("Any", value)) if value and _is_list_of(value, dict) else Tensors(value)


def _inputs(value: Any) -> Table | Tensors:
    if not isinstance(value, dict):
        return Tensors(value)
    columns = cast("dict[str, Any]", value)
    if not all(isinstance(cells, list) for cells in columns.values()):
        raise BadInput("'inputs' by column has to give a list of values for each column.")
    if len({len(cells) for cells in columns.values()}) > 1:
        raise BadInput("The columns of 'inputs' differ in length; give each the same number of values.")
    return Table(tuple(columns), [list(row) for row in zip(*columns.values(), strict=True)])


_SHAPES = {"dataframe_split": _split, "dataframe_records": _records, "instances": _instances, "inputs": _inputs}


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
