"""Lines of output as records of Prefect's log: many lines to a record, or the server would be at it for minutes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["joined"]

_WAIT = 0.5  # seconds in which lines are gathered
_LARGEST = 50_000  # characters of a record; Prefect drops those of a million


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
