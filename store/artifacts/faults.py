"""What goes wrong between here and where artifacts lie: what is worth another attempt, and what is said in the end."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ...errors import ArtifactError, PrefectMLError
from .paths import shown

__all__ = ["PATIENCE", "retried", "translated"]

PATIENCE = 60.0
"""For how many seconds an operation is tried again while the other side cannot be reached."""

_log = logging.getLogger("prefect_ml")
_Answer = TypeVar("_Answer")
_LONGEST_PAUSE = 5.0
# S3's words for what is over by the next attempt; an upload in parts is gone after some servers' restart.
_PASSING = {"InternalError", "NoSuchUpload", "RequestTimeout", "ServiceUnavailable", "SlowDown", "IncompleteBody"}
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403", "401"}


def retried(call: Callable[[], _Answer], *, patience: float, action: str) -> _Answer:
    """Call until it succeeds, as long as only the network or the server is at fault.

    Raises:
        ArtifactError: It failed in another way, or `patience` seconds have passed since the first fault.
    """
    with translated(action):
        deadline: float | None = None
        for pause in _pauses():
            try:
                return call()
            except Exception as error:  # every fsspec backend raises errors of its own
                first = deadline is None
                deadline = deadline or time.monotonic() + patience
                if not _is_passing(error) or time.monotonic() + pause > deadline:
                    raise
                if first:
                    _log.warning("Cannot %s now (%s); trying again for %.0f s.", action, _reason(error), patience)
                time.sleep(pause)
    raise AssertionError("unreachable")


@contextmanager
def translated(action: str) -> Generator[None]:
    """Raise any foreign error as our own.

    Raises:
        ArtifactError: Whatever went wrong, in one sentence.
    """
    try:
        yield
    except PrefectMLError:
        raise
    except Exception as error:  # every fsspec backend raises errors of its own
        advice = "check its credentials" if _is_denied(error) else "check the location and its credentials"
        raise ArtifactError(f"Cannot {action} ({_reason(error)}); {advice}.") from error


def _pauses() -> Iterator[float]:
    pause = 0.2
    while True:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE)


def _is_passing(error: BaseException) -> bool:
    if _is_denied(error):
        return False
    code, status = _answer_of(error)
    return status >= 500 or code in _PASSING or isinstance(error, _network_errors())


def _is_denied(error: BaseException) -> bool:
    return isinstance(error, PermissionError) or _answer_of(error)[0] in _DENIED


def _network_errors() -> tuple[type[BaseException], ...]:
    import aiohttp
    from fsspec.exceptions import FSTimeoutError  # pyright: ignore[reportMissingTypeStubs]

    known: list[type[BaseException]] = [ConnectionError, TimeoutError, aiohttp.ClientError, FSTimeoutError]
    if botocore := sys.modules.get("botocore.exceptions"):  # only where S3 is in use
        known += [botocore.HTTPClientError, botocore.ConnectionError, botocore.ResponseStreamingError]
    return tuple(known)


def _answer_of(error: BaseException) -> tuple[str, int]:
    """Give the code and HTTP status that an S3 server answered with, or nothing of the kind."""
    response: Any = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if not isinstance(response, dict):
        return "", 0
    answer: dict[str, Any] = response  # pyright: ignore[reportUnknownVariableType]
    code = str(answer.get("Error", {}).get("Code", ""))
    return code, int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _reason(error: BaseException) -> str:
    text = " ".join(shown(str(error)).split())
    return text or type(error).__name__
