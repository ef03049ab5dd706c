"""Running a project: its flow, as a child process in the environment that it declares."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...environments import Environment, declaration_of, realise
from ...environments.uv import child_environ
from ...errors import ProjectError, ProjectRunFailed
from ...running import api_url
from ...settings import Settings, load_settings
from .flow_entry_points import EntryPoint, find_entry_point

__all__ = ["ProjectRun", "run_project"]

# For the server that Prefect starts by itself where it knows none: its first start takes longer than it is given.
_EPHEMERAL = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
_GRACE = 20  # seconds that an interrupted flow has for telling Prefect so


@dataclass(frozen=True)
class ProjectRun:
    """What became of one run of a project.

    Attributes:
        project: Folder of the project.
        entry_point: Which of its flows ran.
        flow_run_id: Id of the flow run, which is the run id of a tracked flow too.
        state: Name of its last state: `Completed`.
        result: What the flow returned, where JSON can hold it; otherwise None.
        environment: Digest of the environment that it ran in.
    """

    project: str
    entry_point: str
    flow_run_id: str
    state: str
    result: Any
    environment: str


def run_project(
    uri: str | Path,
    *,
    entry_point: str = "main",
    params: Mapping[str, Any] | None = None,
    version: str | None = None,
    environment: str | None = None,
    experiment: str | None = None,
    report: Callable[[str], None] | None = None,
) -> ProjectRun:
    """Run a project's flow in the environment that the project declares, and wait for it.

    Args:
        uri: Folder of the project.
        entry_point: Name of a deployment in its `prefect.yaml`, of a flow function, or `file.py:function`; "main" is
            also the only flow of a project that has one.
        params: Parameters of the flow; text is converted to what the flow's signature says.
        version: Version of a project that has versions; a folder has none.
        environment: Kind of environment; only "uv" so far, which is the default.
        experiment: Experiment of the runs that name none.
        report: Called with each line that the build and the flow print; by default they go to standard error.

    Raises:
        ProjectError: There is no such project, entry point or parameter, or a parameter's value does not fit.
        EnvironmentFailed: The environment cannot be built.
        ProjectRunFailed: The flow ran and failed.
    """
    folder = _local_folder(uri, version, environment)
    point = find_entry_point(folder, entry_point)
    settings = load_settings(cwd=folder)
    declared = declaration_of(folder)
    if not declared.with_prefect_ml:
        raise ProjectError(f"{folder / 'pyproject.toml'} must list prefect-ml in [project] dependencies to run it so.")
    report = report or _to_stderr
    realised = realise(declared, root=settings.environments, report=report)
    asked = {"entry_point": point.path, "params": {**point.params, **(params or {})}}
    outcome = _run_child(folder, realised, asked, _environ(settings, realised, experiment), report)
    return _judge(folder, point, realised, outcome)


def _local_folder(uri: str | Path, version: str | None, environment: str | None) -> Path:
    folder = Path(uri).expanduser().absolute()
    if not folder.is_dir():
        raise ProjectError(f"There is no project folder {str(uri)!r}; give the path of a local folder.")
    if version is not None:
        raise ProjectError(f"The folder {folder} has no versions; leave the version out.")
    if environment not in (None, "uv"):
        raise ProjectError(f"Environments of kind {environment!r} cannot be built; use 'uv' or leave it out.")
    return folder


def _environ(settings: Settings, realised: Environment, experiment: str | None) -> dict[str, str]:
    environ = {**_EPHEMERAL, **child_environ()}
    environ["VIRTUAL_ENV"] = str(realised.prefix)
    environ["PATH"] = os.pathsep.join([str(realised.python.parent), environ.get("PATH", os.defpath)])
    environ["PYTHONUNBUFFERED"] = "1"
    environ["PREFECT_ML_HOME"] = str(settings.home)
    if url := api_url(settings):
        environ["PREFECT_API_URL"] = url
    if experiment is not None:
        environ["PREFECT_ML_EXPERIMENT"] = experiment
    return environ


def _run_child(
    folder: Path, realised: Environment, asked: dict[str, Any], environ: dict[str, str], report: Callable[[str], None]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="prefect-ml-run-") as exchange:
        request, answer = Path(exchange, "request.json"), Path(exchange, "answer.json")
        request.write_text(_as_json(asked))
        command = [str(realised.python), "-m", "prefect_ml.flows.projects.child", str(request), str(answer)]
        code = _stream(command, folder, environ, report)
        if not answer.is_file():
            raise ProjectRunFailed(
                f"The run of {folder} ended with exit code {code} and left no answer; see its output."
            )
        return json.loads(answer.read_text())


def _as_json(asked: dict[str, Any]) -> str:
    try:
        return json.dumps(asked)
    except (TypeError, ValueError) as error:
        raise ProjectError(f"The params of a project must be values that JSON can hold ({error}).") from error


def _stream(command: list[str], folder: Path, environ: dict[str, str], report: Callable[[str], None]) -> int:
    with subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                report(line.rstrip("\n"))
            return child.wait()
        except BaseException:
            _stop(child)
            raise


def _stop(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        child.kill()


def _judge(folder: Path, point: EntryPoint, realised: Environment, outcome: dict[str, Any]) -> ProjectRun:
    if problem := outcome.get("refused"):
        raise ProjectError(problem)
    if problem := outcome.get("failed"):
        raise ProjectRunFailed(f"The entry point {point.name!r} of {folder} failed: {problem}")
    return ProjectRun(
        project=str(folder),
        entry_point=point.name,
        flow_run_id=outcome["flow_run_id"],
        state=outcome["state"],
        result=outcome["result"],
        environment=realised.digest,
    )


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - what a project prints is for whoever started it
