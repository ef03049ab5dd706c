"""Steps of a workflow: entry points that run again only when their code, parameters, inputs or environment changed.

The store remembers which run has produced what under which key, so that a colleague's step is reused as well, on any
machine. What is reused shows as Cached in Prefect, and in the run of the flow with the run that produced it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import ProjectError
from ...running import flow_run_id, task_run
from ...store import Run, current_store, get_run, new_id
from ...store.entries import result_entry, reuse_entry
from ...store.reuses import producer_of
from ...store.writers import writer_for
from ...tasks.active import current_run
from ...tasks.scope import require_run
from .code_digest import code_digest
from .parameters import Checked
from .running import (
    Asked,
    ProjectRun,
    Ready,
    Report,
    checked_params,
    declaration_for,
    inputs_of,
    prepare,
    run_ready,
    to_stderr,
)
from .sources import digest_of

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture

__all__ = ["StepRun", "step", "submit_step"]

_FORMAT = 1  # of keys: another one makes every step run again


@dataclass(frozen=True)
class StepRun:
    """What a step has produced, now or earlier.

    Attributes:
        run_id: The run that produced it.
        entry_point: What ran.
        reused: Whether it was there already.
        key: What it depends on, as a digest.
    """

    run_id: str
    entry_point: str
    reused: bool
    key: str

    def artifact(self, path: str) -> str:
        """Give the URI of an artifact that its run has logged: a value for the `path` or `uri` of a later step."""
        return f"runs:/{self.run_id}/{path}"

    def output(self, path: str) -> str:
        """Give the URI of a file or folder that was named in `outputs`."""
        return self.artifact(f"outputs/{path}")

    @property
    def run(self) -> Run:
        """The run, with its params and metrics."""
        return get_run(self.run_id)


@dataclass(frozen=True)
class _Step:
    """A step as it was asked for; plain values, for it travels to the task runner's workers."""

    asked: Asked
    params: Mapping[str, Any]
    code: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    refresh: bool = False
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def step(  # noqa: PLR0913 - all but the first two by name
    entry_point: str,
    params: Mapping[str, Any] | None = None,
    *,
    uri: str = ".",
    version: str | None = None,
    code: Sequence[str] = (),
    outputs: Sequence[str] = (),
    environment: str | None = None,
    timeout: float | None = None,
    refresh: bool = False,
    **options: Any,
) -> StepRun:
    """Run an entry point of a project as one step, unless a run has done just that before.

    Inside a Prefect flow it is a task run; `submit_step` does the same and does not wait.

    Args:
        entry_point: Which entry point; one with a command.
        params: Values of its parameters. A `path` may be `StepRun.artifact(...)` or any URL: its content counts, and
            not its address.
        uri: Folder or URL of the project.
        version: Branch, tag or commit of it.
        code: Files and folders of the project that the step depends on, as patterns; all by default.
        outputs: Files and folders that the command writes, relative to the project; they are kept with its run.
        environment: Kind of environment instead of the declared one.
        timeout: Seconds after which it is stopped and has failed.
        refresh: Run it in any case.
        options: Every option of `prefect.task`.

    Raises:
        ProjectError: There is no such entry point, or a parameter's value does not fit.
        ProjectRunFailed: It ran and failed.
    """
    about = {"uri": uri, "version": version, "environment": environment, "timeout": timeout}
    wanted = _wanted(entry_point, params, **about, code=code, outputs=outputs, refresh=refresh, **options)
    return _task_of(wanted)(wanted) if flow_run_id() else _done(wanted, to_stderr)


def submit_step(entry_point: str, params: Mapping[str, Any] | None = None, **options: Any) -> PrefectFuture[StepRun]:
    """Hand a step to the flow's task runner and go on; the arguments are those of `step`.

    Raises:
        ProjectError: There is no Prefect flow around the caller.
    """
    if flow_run_id() is None:
        raise ProjectError(
            "submit_step needs a Prefect flow around it; call step, or decorate the function with @flow."
        )
    wanted = _wanted(entry_point, params, **options)
    return _task_of(wanted).submit(wanted)


def _wanted(  # noqa: PLR0913 - the arguments of `step`
    entry_point: str,
    params: Mapping[str, Any] | None,
    *,
    uri: str = ".",
    version: str | None = None,
    code: Sequence[str] = (),
    outputs: Sequence[str] = (),
    environment: str | None = None,
    timeout: float | None = None,
    refresh: bool = False,
    **options: Any,
) -> _Step:
    if flow_run_id():
        require_run("step", None)  # so that the flow has a run, which shows what was reused
    asked = Asked(uri, entry_point, version, environment, None, timeout)
    return _Step(asked, dict(params or {}), tuple(code), tuple(outputs), refresh, options)


def _task_of(wanted: _Step) -> Any:
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    options: Any = {"name": wanted.asked.entry_point, "cache_policy": NO_CACHE, **wanted.options}
    return task(**options)(_run_in_task)


def _run_in_task(wanted: _Step) -> Any:
    from prefect import get_run_logger
    from prefect.states import Completed

    logger: Any = get_run_logger()
    outcome = _done(wanted, lambda line: logger.info("%s", line))
    if outcome.reused:
        return Completed(name="Cached", message=f"Reused from run {outcome.run_id}", data=outcome)
    return outcome


def _done(wanted: _Step, report: Report) -> StepRun:
    ready = prepare(wanted.asked, report)
    if ready.point.flow:
        raise ProjectError(f"The entry point {ready.point.name!r} is a flow; call it, only commands can be steps.")
    checked = checked_params(ready, wanted.params, report)
    key = _key_of(wanted, ready, checked)
    if not wanted.refresh and (producer := producer_of(key)):
        _note_reuse(producer, key, ready.point.name)
        report(f"Reused from run {producer}: nothing that {ready.point.name} depends on has changed")
        return StepRun(producer, ready.point.name, True, key)
    ran = run_ready(ready, wanted.params, report, outputs=wanted.outputs)
    _note_result(ran, key)
    return StepRun(ran.run_id, ready.point.name, False, key)


def _key_of(wanted: _Step, ready: Ready, checked: Checked) -> str:
    point, folder = ready.point, ready.project.folder
    declared = declaration_for(ready.project, wanted.asked.environment)
    # Where an input lies does not matter, only what it holds.
    paths = inputs_of(point, checked)
    plain = {name: text for name, text in checked.raw.items() if name not in paths}
    inputs = {name: digest_of(path) for name, path in paths.items()}
    inputs |= {name: digest_of(text) for name, text in plain.items() if text.startswith("runs:/")}
    parts = {
        "format": _FORMAT,
        "project": ready.project.name,
        "entry point": [point.name, point.command],
        "code": code_digest(folder, only=wanted.code, without=wanted.outputs),
        "params": {name: text for name, text in plain.items() if name not in inputs},
        "inputs": inputs,
        "environment": f"{declared.kind}:{declared.digest}",
        "outputs": wanted.outputs,
    }
    return f"step/{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}"


def _note_result(ran: ProjectRun, key: str) -> None:
    writer = writer_for(current_store())
    writer.submit(result_entry(ran.run_id, key))


def _note_reuse(producer: str, key: str, name: str) -> None:
    outer, within = current_run(), task_run()
    parent = outer.id if outer else flow_run_id()
    if parent and parent != producer:
        writer_for(current_store()).submit(reuse_entry(parent, within.id if within else new_id(), key, name))
