"""Prefect's log: lines of output as few records, and on the terminal no traceback of what is told in a sentence."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from ...errors import PrefectMLError

__all__ = ["joined", "told_once"]

_WAIT = 0.5  # seconds in which lines are gathered
_LARGEST = 50_000  # characters of a record; Prefect drops those of a million


@contextmanager
def told_once(*kinds: type[PrefectMLError]) -> Generator[None]:
    """Keep off the terminal what Prefect says of errors of these kinds: whoever catches one tells it in a sentence.

    Prefect's own log, which its UI shows, has all of it.
    """
    consoles, told = list(_consoles()), _Told(kinds)
    for console in consoles:
        console.addFilter(told)
    try:
        yield
    finally:
        for console in consoles:
            console.removeFilter(told)


class _Told(logging.Filter):
    """Drops the traceback of an error, and what repeats its sentence."""

    def __init__(self, kinds: tuple[type[PrefectMLError], ...]) -> None:
        super().__init__()
        self._kinds = kinds
        self._said: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, self._kinds):
            self._said += [str(error), repr(str(error))[1:-1]]  # states show their messages as Python would
            return False
        text = record.getMessage()
        return not any(said in text for said in self._said)


def _consoles() -> Iterator[logging.Handler]:
    from prefect.logging.handlers import PrefectConsoleHandler

    for name in ("prefect.flow_runs", "prefect.task_runs", "prefect", ""):
        handlers = logging.getLogger(name).handlers
        yield from (handler for handler in handlers if isinstance(handler, PrefectConsoleHandler))


@contextmanager
def joined(emit: Callable[[str], None]) -> Generator[Callable[[str], None]]:
    """Give a function that takes lines; those that come together are handed to `emit` as one text, soon.

    Args:
        emit: Called from another thread; not any more once the body has been left.
    """
    lines: list[str] = []
    over = threading.Event()
    thread = threading.Thread(target=_emit_until, args=(over, lines, emit), name="prefect-ml-lines", daemon=True)
    thread.start()
    try:
        yield lines.append
    finally:
        over.set()
        thread.join()


def _emit_until(over: threading.Event, lines: list[str], emit: Callable[[str], None]) -> None:
    done = False
    while not done:
        done = over.wait(_WAIT)
        count = len(lines)  # others append meanwhile
        for text in _texts(lines[:count]):
            emit(text)
        del lines[:count]


def _texts(lines: list[str]) -> Generator[str]:
    together: list[str] = []
    size = 0
    for line in lines:
        if together and size + len(line) > _LARGEST:
            yield "\n".join(together)
            together, size = [], 0
        together.append(line)
        size += len(line) + 1
    if together:
        yield "\n".join(together)
