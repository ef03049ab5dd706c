"""Running uv: the program that comes with the `uv` package, in an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from ..errors import EnvironmentFailed

__all__ = ["Report", "child_environ", "run_uv", "uv_program"]

Report = Callable[[str], None]

# What our caller's own environment says must not steer the environment that is built or started.
_FOREIGN = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX")
_STEERING = ("UV_PROJECT_ENVIRONMENT", "UV_NO_SYNC", "UV_PYTHON", "UV_PROJECT", "UV_CONSTRAINT", "UV_OVERRIDE")
_ENGINE = "PREFECT__"  # what Prefect tells the process of a flow run of that run, and of nothing below it
_NONE: Mapping[str, str] = MappingProxyType({})
_STARTS = ("\u00d7", "error:")
_FRAME = re.compile("[\u00d7\u2570\u256d\u251c\u2502\u2500\u25b6]+")  # what uv draws around its reasons


def uv_program() -> str:
    """Find the uv program.

    Raises:
        EnvironmentFailed: The `uv` package holds none.
    """
    from uv import find_uv_bin

    try:
        return find_uv_bin()
    except FileNotFoundError as error:
        raise EnvironmentFailed("The program uv is missing; install it again with `pip install uv`.") from error


def child_environ(*, without: tuple[str, ...] = _FOREIGN) -> dict[str, str]:
    """Give the environment variables for a child process, less those that would reach into its interpreter."""
    return {key: value for key, value in os.environ.items() if key not in without and not key.startswith(_ENGINE)}


def run_uv(*arguments: str, cwd: Path, report: Report | None = None, environ: Mapping[str, str] = _NONE) -> None:
    """Run uv to its end and pass what it says on, line by line.

    Args:
        arguments: What follows `uv`.
        cwd: Working directory.
        report: Called with each line that is no detail.
        environ: Variables for uv beside those of this process.

    Raises:
        EnvironmentFailed: It failed; the message is uv's reason, on one line.
    """
    variables = {**child_environ(without=_FOREIGN + _STEERING), "NO_COLOR": "1", "UV_NO_WRAP": "1", **environ}
    command = [uv_program(), "--no-progress", *arguments]
    with subprocess.Popen(command, cwd=cwd, env=variables, stderr=subprocess.PIPE, text=True) as child:
        lines = list(_passed_on(child, report))
    if child.returncode:
        raise EnvironmentFailed(_reason("".join(lines)))


def _passed_on(child: subprocess.Popen[str], report: Report | None) -> list[str]:
    assert child.stderr is not None
    lines: list[str] = []
    try:
        for line in child.stderr:
            lines.append(line)
            if report and line[:1].isupper():  # uv indents and marks what is detail
                report(line.strip())
    except BaseException:
        child.terminate()
        raise
    return lines


def _reason(said: str) -> str:
    lines = said.splitlines()
    starts = (i for i, line in enumerate(lines) if line.lstrip().startswith(_STARTS))
    start = next(starts, max(len(lines) - 1, 0))
    joined = " ".join(" ".join(_FRAME.sub(" ", line) for line in lines[start:]).split())
    causes = joined.removeprefix("error:").partition(" hint: ")[0].strip().split(" cause: ")
    useful = causes[1:] if causes[0].startswith("No solution") and causes[1:] else causes
    reason = ": ".join(useful) or "uv gave no reason"
    return reason if len(reason) <= 500 else reason[:500].rsplit(" ", 1)[0] + " ..."
