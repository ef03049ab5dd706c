"""Running a project's command as what a tracked run is about: its output, its end, and the code that joins the run."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...environments import Command, Realised
from ...environments.uv import child_environ
from ...errors import ProjectRunFailed
from ...running import api_url
from ...settings import Settings
from ...store.artifacts import check_relative, join, put_file, put_folder
from ...tasks.active import ActiveRun
from ...tasks.capture import INPUTS, LOCK
from ...tasks.log import log_dict, log_params, log_text, set_tags
from .sources import digest_of

__all__ = [
    "GRACE",
    "OUTPUT",
    "Work",
    "child_variables",
    "execute",
    "followed",
    "keep_output",
    "too_late",
]

OUTPUT = "project/output.txt"
GRACE = 10.0  # seconds that a command has for its own end when it is stopped; Prefect gives us 30 for ours
_TURN = 0.2
_NOT_FOUND = 127  # a shell's exit code where there is no such program
_MISSING = re.compile(
    r"(?:^|[\s:'\u2018])([^\s:'\u2018\u2019]+)['\u2019]?:(?: bad interpreter:)?"
    r" (?:command not found|not found|No such file or directory)$"
)
# For the server that Prefect starts by itself where it knows none: its first start takes longer than it is given.
_EPHEMERAL = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
_LONGEST = 10_000  # characters of a line that go to logs; the artifact has all of them


@dataclass(frozen=True)
class Work:
    """One command, ready to run.

    Attributes:
        what: How messages name it.
        command: The shell command, values quoted.
        folder: Its working directory.
        params: Every parameter's value as it was given.
        realised: The environment.
        variables: What its code finds its project and the store by.
        inputs: Files and folders that parameters of type path name.
        outputs: Files and folders to keep among the artifacts, relative to `folder`.
        timeout: Seconds after which it is stopped, or None.
    """

    what: str
    command: str
    folder: Path
    params: Mapping[str, str]
    realised: Realised
    variables: Mapping[str, str]
    inputs: Mapping[str, Path] = field(default_factory=dict[str, Path])
    outputs: tuple[str, ...] = ()
    timeout: float | None = None


def execute(run: ActiveRun, work: Work, report: Callable[[str], None]) -> None:
    """Run the command inside an open run, which it joins, and wait for it.

    Args:
        run: The run.
        work: What to do.
        report: Called with each line of its output.

    Raises:
        ProjectRunFailed: It ended with another exit code than 0, or took too long.
        EnvironmentFailed: It cannot be started.
    """
    log_params(work.params, run=run)
    if lock := work.realised.facts().lock:
        log_text(lock, LOCK, run=run)
    digests = {name: digest_of(path) for name, path in work.inputs.items()}
    log_dict({"cwd": os.getcwd(), "params": work.params, "digests": digests}, INPUTS, run=run)
    own = {"PREFECT_ML_RUN_ID": run.id, "PREFECT_ML_EXPERIMENT": run.experiment}
    command = work.realised.start(
        work.command, folder=work.folder, environ={**work.variables, **own}, reachable=tuple(work.inputs.values())
    )
    with tempfile.TemporaryDirectory(prefix="prefect-ml-output-") as exchange:
        output = Path(exchange, "output.txt")
        try:
            code = followed(command, output, report, timeout=work.timeout, what=work.what)
        finally:
            keep_output(run.artifact_uri, output)
        missing = _missing_program(output) if code == _NOT_FOUND else None
    set_tags({"exit_code": code}, run=run)
    if code:
        why = f", for there is no program {missing!r} in its environment: install or declare it" if missing else ""
        raise ProjectRunFailed(
            f"{work.what} failed: its command {_ended(code)}{why}; its output is the artifact {OUTPUT}."
        )
    for path in work.outputs:
        _keep(run, work, path)


def followed(
    command: Command,
    output: Path,
    report: Callable[[str], None],
    *,
    timeout: float | None,
    what: str,
    grace: float = 0.0,
) -> int:
    """Write and report what a command prints until it ends, and give its exit code.

    Args:
        command: The command. However this ends, nothing that it started stays behind.
        output: File for everything that it prints, to its last words when it is stopped.
        report: Called with each line, from another thread.
        timeout: Seconds that it may take, or None.
        what: How messages name it.
        grace: Seconds beyond those in which it may end by itself.

    Raises:
        ProjectRunFailed: It took too long.
    """
    until = time.monotonic() + timeout + grace if timeout else None
    with ThreadPoolExecutor(1, "prefect-ml-output") as pool:
        reading = pool.submit(copy_context().run, _read, command, output, report)
        try:
            # In short turns: a thread that waits without end hears neither signals nor Prefect's timeout.
            while not wait([reading], timeout=_TURN).done:
                if until and time.monotonic() >= until:
                    raise too_late(what, timeout)
            reading.result()
            return command.wait()
        except BaseException:  # a cancelled flow, an interrupt, a full disk
            command.stop(grace=GRACE)
            raise


def too_late(what: str, timeout: float | None) -> ProjectRunFailed:
    """Say that something was stopped because it took too long."""
    return ProjectRunFailed(f"{what} was stopped: it ran for longer than {timeout:g} seconds.")


def keep_output(artifact_uri: str, output: Path) -> None:
    """Keep what a command has printed among a run's artifacts, if that is anything."""
    if output.exists() and output.stat().st_size:
        put_file(output, join(artifact_uri, OUTPUT))


def child_variables(settings: Settings, source: Mapping[str, Any]) -> dict[str, str]:
    """Give the variables by which a project's code finds the store, Prefect's server, and what it is itself."""
    api = api_url(settings)
    return {
        **_EPHEMERAL,
        **child_environ(),
        **({"PREFECT_API_URL": api} if api else {}),
        "PYTHONUNBUFFERED": "1",
        "PREFECT_ML_HOME": str(settings.home),
        "PREFECT_ML_STORE_URL": settings.store_url,
        "PREFECT_ML_ARTIFACT_ROOT": settings.artifact_root,
        "PREFECT_ML_PROJECT": json.dumps({name: value for name, value in source.items() if value is not None}),
    }


def _keep(run: ActiveRun, work: Work, path: str) -> None:
    made, uri = work.folder / check_relative(path), join(run.artifact_uri, "outputs", check_relative(path))
    if made.is_dir():
        put_folder(made, uri)
    elif made.is_file():
        put_file(made, uri)
    else:
        raise ProjectRunFailed(f"{work.what} has not written {path!r}, which is named among its outputs.")


def _read(command: Command, output: Path, report: Callable[[str], None]) -> None:
    with output.open("w", encoding="utf-8", errors="replace") as file:
        for line in command.lines():
            file.write(line + "\n")
            report(_shown(line))


def _shown(line: str) -> str:
    """Give a line as a terminal would show it: of a progress bar the last state only."""
    last = line.rpartition("\r")[2].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return last if len(last) <= _LONGEST else f"{last[:_LONGEST]}…"


def _ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _missing_program(output: Path) -> str | None:
    """Find in what a command has printed last which program its shell has not found."""
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - _LONGEST))
        lines = file.read().decode(errors="replace").splitlines()
    found = (_MISSING.search(line.rstrip()) for line in reversed(lines))
    return next((one.group(1) for one in found if one), None)
