"""A progress bar for what takes long, where somebody looks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from .files import Advance

__all__ = ["progress"]

_WORTH_A_BAR = 50 * 10**6


@contextmanager
def progress(title: str, size: int) -> Generator[Advance]:
    """Give what counts the bytes; from 50 MB on a bar shows them, on a terminal or in a notebook."""
    if size < _WORTH_A_BAR:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not (console.is_terminal or console.is_jupyter)) as bar:
        task = bar.add_task(title, total=size)
        yield lambda count: bar.advance(task, count)
