"""Doing many transfers at once, within bounds: eight small ones, or one big one in parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

__all__ = ["in_parallel"]

_AT_ONCE = 8
_BIG = 8 * 2**20
_Answer = TypeVar("_Answer")


def in_parallel(calls: Sequence[Callable[[], _Answer]], *, sizes: Sequence[int] | None = None) -> list[_Answer]:
    """Make all calls and give their answers in order; the first that fails stops those that have not begun.

    Args:
        calls: What to do.
        sizes: How many bytes each moves; of the big ones, which are sent in parts, one is on its way at a time.
    """
    if len(calls) < 2:
        return [call() for call in calls]
    alone = threading.Lock()

    def run(call: Callable[[], _Answer], size: int) -> _Answer:
        if size < _BIG:
            return call()
        with alone:
            return call()

    with ThreadPoolExecutor(min(_AT_ONCE, len(calls)), thread_name_prefix="prefect-ml-artifacts") as pool:
        futures = [pool.submit(run, call, size) for call, size in zip(calls, sizes or [0] * len(calls), strict=True)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            for future in futures:
                future.cancel()
    for future in futures:
        if not future.cancelled():
            future.result()
    return [future.result() for future in futures]
