"""How commands answer: records as JSON under their own names, or as tables for people."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "Cell",
    "is_terminal",
    "json_option",
    "pairs",
    "print_json",
    "progress",
    "show_pairs",
    "show_table",
    "step",
    "text_of",
]

Cell = object
"""What a table shows: text, numbers and times as they are, None as a blank."""

_Command = TypeVar("_Command", bound=Callable[..., Any])
# Wide enough for anything where no terminal bounds the width, so that scripts find every value whole.
_UNBOUNDED = 10_000
_SHORT = 12
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def json_option(command: _Command) -> _Command:
    """Give a command the option `--json`, as its parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON, under the library's own names.")(
        command
    )


def is_terminal() -> bool:
    """Whether people look at standard output."""
    from rich.console import Console

    return Console().is_terminal


def print_json(value: Any) -> None:
    """Print a record, or an array of them, as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def show_table(columns: Iterable[str], rows: Iterable[Iterable[Cell]], *, empty: str) -> None:
    """Print rows under their columns, one line each, or the sentence `empty` where there are none.

    A narrow terminal shortens long values, but never the first column, which says which record it is.
    """
    lines = [[" ".join(text_of(cell).splitlines()).replace("\t", " ") for cell in row] for row in rows]
    if not lines:
        click.echo(empty)
        return
    if not is_terminal():
        _print_plain([list(columns), *lines])
        return
    table = _table(show_header=True)
    for position, column in enumerate(columns):
        longest = max(len(line[position]) for line in lines)
        whole = position == 0 or longest <= _SHORT
        table.add_column(column, no_wrap=True, min_width=longest if whole else None)
    _print(table, lines)


def show_pairs(values: Mapping[str, Cell]) -> None:
    """Print one record, a line per field; fields without a value are left out."""
    table = _table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    _print(table, [[name, text_of(value)] for name, value in values.items() if text_of(value)])


def step(text: str) -> None:
    """Say on standard error what is being done now, so that no wait is silent."""
    click.echo(text, err=True)


def progress(text: str) -> None:
    """Say on standard error how far something is, if people look there."""
    if sys.stderr.isatty():
        step(text)


def pairs(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Turn repeated `key=value` options into a mapping: a callback of click.

    Raises:
        click.BadParameter: One has no '=' or no key, or a key is given twice.
    """
    found: dict[str, str] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{text!r} is not of the form key=value.")
        if key in found:
            raise click.BadParameter(f"{key!r} is given twice.")
        found[key] = value
    return found


def text_of(value: Cell) -> str:
    """Write a value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return _CONTROL.sub("\ufffd", str(value))  # a name must not colour or move what others see


def _table(*, show_header: bool) -> Table:
    from rich.table import Table

    return Table(box=None, show_header=show_header, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))


def _print_plain(lines: list[list[str]]) -> None:
    """Print columns as a table has them, each value whole; long lists are done at once, as nothing is laid out."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _print(table: Table, lines: list[list[str]]) -> None:
    from rich.console import Console
    from rich.text import Text

    for line in lines:
        table.add_row(*(Text(cell) for cell in line))  # Text, so that no name is read as markup
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    console.print(table)
