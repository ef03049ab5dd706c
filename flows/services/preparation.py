"""The child process that tells a Prefect server about prefect-ml, seen from `up`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Self

from ...errors import ServiceError
from ...settings import Settings
from .environment import prefect_environment
from .process import last_words, marked
from .records import Record, log_of

__all__ = ["Preparation"]


class Preparation:
    """Runs `prepare` beside the server's start, so that Prefect is imported by the time the server answers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = log_of(settings, "prepare")
        self._address: str | None = None
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def start(self, server: Record) -> None:
        """Start the child for this server; one that is at work for it already goes on."""
        if self._address == server.api_url:
            return
        self._end()
        self._address = server.api_url
        environment = {**prefect_environment(self._settings), "PREFECT_API_URL": server.api_url or ""}
        ours = ["--overwrite"] if server.owner else []
        with open(os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as errors:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "prefect_ml.flows.services.prepare", *ours],
                env=marked(self._settings, "prepare", environment),
                cwd=self._settings.services,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def lines(self) -> Iterator[str]:
        """Give what the child says is done, as it is done.

        Raises:
            ServiceError: The child failed.
        """
        child = self._child
        if child is None or child.stdout is None:
            return
        for line in child.stdout:
            yield line.strip()
        if child.wait():
            raise ServiceError(
                f"The Prefect server could not be prepared ({last_words(self._log)});"
                f" see {self._log}, mend the cause and run `prefect-ml up` again."
            )

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
