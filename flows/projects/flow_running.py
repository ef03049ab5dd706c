"""Running a flow of a project: in a child process, with the interpreter of the project's environment."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...environments import Declared, Realised
from ...errors import ProjectError, ProjectRunFailed, RunNotFound
from ...store import get_run
from ...store.artifacts import join, put_file
from ...tasks.capture import INPUTS, LOCK
from .execution import GRACE, child_variables, followed, keep_output, too_late
from .ready import Ready
from .sources import workspace

__all__ = ["check_flow", "run_flow"]


def run_flow(
    ready: Ready, realised: Realised, params: Mapping[str, Any], report: Callable[[str], None]
) -> dict[str, Any]:
    """Run the flow and wait for it.

    Returns:
        `flow_run_id`, `state` and `result`.

    Raises:
        ProjectError: Its params do not fit, or its environment lacks prefect-ml.
        ProjectRunFailed: It ran and failed.
    """
    if "prefect-ml" not in realised.facts().packages:
        raise _lacking(ready)
    with (
        workspace(ready.fetched, settings=ready.settings) as place,
        tempfile.TemporaryDirectory(prefix="prefect-ml-run-") as exchange,
    ):
        request, answer = Path(exchange, "request.json"), Path(exchange, "answer.json")
        timeout = ready.asked.timeout
        asked = {"entry_point": ready.point.flow, "params": {**ready.point.given, **params}}
        request.write_text(_as_json({**asked, "until": time.time() + timeout if timeout else None}))
        words = ["python", "-m", "prefect_ml.flows.projects.child", str(request), str(answer)]
        command = realised.start(
            shlex.join(words), folder=place.folder, environ=_environ(ready, realised), reachable=(Path(exchange),)
        )
        output = Path(exchange, "output.txt")
        code = followed(command, output, report, timeout=timeout, what=_what(ready), grace=GRACE)
        outcome: dict[str, Any] = json.loads(answer.read_text()) if answer.is_file() else {"code": code}
        _keep(ready, realised, params, outcome, output)
    return _judged(ready, outcome)


def check_flow(ready: Ready) -> None:
    """See that the environment of a flow will hold prefect-ml, before it is built.

    Raises:
        ProjectError: It will not.
    """
    declared = ready.declaration()
    if isinstance(declared, Declared) and declared.kind != "system" and not declared.with_prefect_ml:
        raise _lacking(ready)


def _lacking(ready: Ready) -> ProjectError:
    file = ready.project.folder / "pyproject.toml"
    return ProjectError(
        f"The flow {ready.point.name!r} needs prefect-ml in its environment: {file} must list prefect-ml in [project]"
        " dependencies."
    )


def _environ(ready: Ready, realised: Realised) -> dict[str, str]:
    environ = child_variables(ready.settings, ready.source(realised))
    if ready.asked.experiment is not None:
        environ["PREFECT_ML_EXPERIMENT"] = ready.asked.experiment
    return environ


def _keep(
    ready: Ready, realised: Realised, params: Mapping[str, Any], outcome: Mapping[str, Any], output: Path
) -> None:
    """Keep with the flow's run, where it has one, its output and what it takes to run it again."""
    if run_id := outcome.get("flow_run_id"):
        try:
            uri = get_run(run_id).artifact_uri
        except RunNotFound:
            return
        keep_output(uri, output)
        asked: dict[str, Any] = {"entry_point": ready.point.name, "cwd": os.getcwd(), "params": params, "digests": {}}
        for path, text in {INPUTS: _as_json(asked), LOCK: realised.facts().lock}.items():
            file = output.with_name(Path(path).name)
            file.write_text(text)
            put_file(file, join(uri, path))


def _as_json(asked: Mapping[str, Any]) -> str:
    try:
        return json.dumps(asked)
    except (TypeError, ValueError) as error:
        raise ProjectError(f"The params of a project must be values that JSON can hold ({error}).") from error


def _judged(ready: Ready, outcome: dict[str, Any]) -> dict[str, Any]:
    if problem := outcome.get("refused"):
        raise ProjectError(problem)
    if outcome.get("late"):
        raise too_late(_what(ready), ready.asked.timeout)
    if problem := outcome.get("failed"):
        raise ProjectRunFailed(f"{_what(ready)} failed: {problem}")
    if "code" in outcome:
        raise ProjectRunFailed(f"{_what(ready)} ended with exit code {outcome['code']} and left no answer.")
    return outcome


def _what(ready: Ready) -> str:
    return f"The entry point {ready.point.name!r} of {ready.fetched.uri}"
