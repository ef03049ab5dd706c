"""Steps of a workflow: entry points that run again only when their code, parameters, inputs or environment changed.

The store remembers which run has produced what under which key, so that a colleague's step is reused as well, on any
machine. What is reused shows as Cached in Prefect, and in the run of the flow with the run that produced it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...environments.declared import DECLARING
from ...errors import ArtifactError, ProjectError
from ...running import flow_run_id
from ...settings import load_settings
from ...store import Run, get_run
from ...store.artifacts import check_relative
from ...tasks.active import current_run, entered
from ...tasks.scope import Scope, closing, open_scope, require_run
from .code_digest import Code, code_of, copy_of
from .logs import joined
from .parameters import Checked
from .ready import Asked, Ready, Report, checked_params, declaration_for, inputs_of, prepare, realised_of
from .reusing import note_result, note_reuse, one_at_a_time, reusable
from .running import run_ready, to_stderr
from .sources import digest_of
from .sources.working import runs_of

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture

__all__ = ["StepRun", "step", "submit_step"]

_FORMAT = 1  # of keys: another one makes every step run again
_CONTENT = ("runs:/", "models:/")  # addresses of what we keep: their content counts, and not what they are


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
        entry_point: Which one; it has a command.
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
    about = {"uri": uri, "version": version, "code": code, "outputs": outputs, "environment": environment}
    wanted = _wanted(entry_point, params, {**about, "timeout": timeout, "refresh": refresh, **options})
    if flow_run_id():
        return _outcome(_task_of(wanted)(wanted))
    if options:
        raise ProjectError(f"{', '.join(options)}: only a step inside a Prefect flow takes options of prefect.task.")
    return _done(wanted, to_stderr)


def submit_step(entry_point: str, params: Mapping[str, Any] | None = None, **options: Any) -> PrefectFuture[StepRun]:
    """Hand a step to the flow's task runner and go on; the arguments are those of `step`.

    Raises:
        ProjectError: There is no Prefect flow around the caller.
    """
    if flow_run_id() is None:
        raise ProjectError(
            "submit_step needs a Prefect flow around it; call step, or decorate the function with @flow."
        )
    wanted = _wanted(entry_point, params, options)
    return _task_of(wanted).submit(wanted)


def _wanted(entry_point: str, params: Mapping[str, Any] | None, given: Mapping[str, Any]) -> _Step:
    """Sort what `step` was given by name; what it does not know is an option of `prefect.task`."""
    options = dict(given)
    uri = options.pop("uri", ".")
    # Where a task runner's worker is at home, nobody knows.
    place = os.path.abspath(uri) if os.path.isdir(uri) else str(uri)
    version, kind, timeout = (options.pop(name, None) for name in ("version", "environment", "timeout"))
    code = _listed("code", options.pop("code", ()))
    outputs = tuple(_checked_output(path) for path in _listed("outputs", options.pop("outputs", ())))
    refresh = options.pop("refresh", False)
    if flow_run_id():
        require_run("step", None)  # so that the flow has a run, which shows what was reused
    asked = Asked(place, entry_point, version, kind, None, timeout)
    return _Step(asked, dict(params or {}), code=code, outputs=outputs, refresh=refresh, options=options)


def _listed(name: str, paths: Sequence[str]) -> tuple[str, ...]:
    if isinstance(paths, str):
        raise ProjectError(f"{name} of a step must be a list of paths, not the text {paths!r}; put it in brackets.")
    return tuple(paths)


def _checked_output(path: str) -> str:
    try:
        return check_relative(path)
    except ArtifactError as error:
        raise ProjectError(f"{path!r} cannot be an output of a step: {error}") from error


def _task_of(wanted: _Step) -> Any:
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    options: Any = {"name": wanted.asked.entry_point, "cache_policy": NO_CACHE, **wanted.options}
    return task(**options)(_run_in_task)


def _run_in_task(wanted: _Step) -> Any:
    from prefect import get_run_logger
    from prefect.states import Completed

    logger: Any = get_run_logger()
    with joined(lambda text: logger.info("%s", text)) as log:
        outcome = _done(wanted, log)
    if outcome.reused:
        return Completed(name="Cached", message=f"Reused from run {outcome.run_id}", data=outcome)
    return outcome


def _outcome(given: Any) -> StepRun:
    """Give what a task has returned: a state stays one where the task is called and not submitted."""
    kept = given if isinstance(given, StepRun) else given.data
    return getattr(kept, "result", kept)


def _done(wanted: _Step, report: Report) -> StepRun:
    ready = _of_project_around(prepare(wanted.asked, report))
    if ready.point.flow:
        raise ProjectError(f"The entry point {ready.point.name!r} is a flow; call it, only commands can be steps.")
    code = _code_of(wanted, ready)
    key = _key_of(wanted, ready, code, checked_params(ready, wanted.params, report), report)
    with _run_around():
        if wanted.refresh:
            return _ran(wanted, ready, code, key, report)
        if found := _found(ready, key, report):
            return found
        with one_at_a_time(key, ready.settings, report):
            # Whoever held it before has run the same.
            return _found(ready, key, report) or _ran(wanted, ready, code, key, report)


def _found(ready: Ready, key: str, report: Report) -> StepRun | None:
    producer = reusable(key, report)
    if producer is None:
        return None
    note_reuse(producer, key, ready.point.name)
    report(f"Reused from run {producer}: nothing that {ready.point.name} depends on has changed")
    return StepRun(producer, ready.point.name, True, key)


def _ran(wanted: _Step, ready: Ready, code: Code, key: str, report: Report) -> StepRun:
    # In a copy of what the key is made of: the step sees nothing else, and leaves nothing where others look.
    with copy_of(code, beside=_beside(ready), outputs=wanted.outputs, settings=ready.settings) as place:
        ran = run_ready(replace(ready, place=place), wanted.params, report, outputs=wanted.outputs)
    note_result(ran.run_id, key)
    return StepRun(ran.run_id, ready.point.name, False, key)


def _code_of(wanted: _Step, ready: Ready) -> Code:
    settings, project = ready.settings, ready.project
    local = [] if "://" in settings.artifact_root else [Path(settings.artifact_root)]
    # Of what the descriptor says, the command and the environment count: other entry points are none of a step's.
    without = [*wanted.outputs, *([project.descriptor.name] if project.descriptor else [])]
    return code_of(project.folder, only=wanted.code, without=without, ignored=[settings.home, *local])


def _beside(ready: Ready) -> Iterable[str]:
    """Name files that what runs a project looks at itself."""
    descriptor = ready.project.descriptor
    return (*DECLARING, *([descriptor.name] if descriptor else []))


def _key_of(wanted: _Step, ready: Ready, code: Code, checked: Checked, report: Report) -> str:
    point = ready.point
    # Where an input lies does not matter, only what it holds.
    paths = inputs_of(point, checked)
    plain = {name: text for name, text in checked.raw.items() if name not in paths}
    inputs = {name: digest_of(path) for name, path in paths.items()}
    inputs |= {name: digest_of(text) for name, text in plain.items() if text.startswith(_CONTENT)}
    parts = {
        "format": _FORMAT,
        "entry point": [point.name, point.command],
        "code": code.digest,
        "params": {name: text for name, text in plain.items() if name not in inputs},
        "inputs": inputs,
        "environment": _environment_of(ready, report),
        "outputs": wanted.outputs,
    }
    return f"step/{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}"


def _environment_of(ready: Ready, report: Report) -> list[Any]:
    declared = declaration_for(ready.project, ready.asked.environment)
    if declared.kind == "docker" and (said := ready.project.environment):
        return [declared.kind, declared.digest, said.volumes, said.environment]
    if declared.kind != "system":
        return [declared.kind, declared.digest]
    # Nobody declares what it holds.
    facts = realised_of(ready.project, ready.asked.environment, ready.settings, report).facts()
    return [declared.kind, declared.digest, dict(facts.packages)]


def _of_project_around(ready: Ready) -> Ready:
    """Where a project that was fetched runs steps of its own, say where it came from: its copy will be gone."""
    here = ready.fetched.folder.resolve()
    if here != Path.cwd().resolve() or not here.is_relative_to(runs_of(ready.settings).resolve()):
        return ready
    told: dict[str, Any] = json.loads(os.environ.get("PREFECT_ML_PROJECT", "{}"))
    known = {"uri": told.get("project"), "subfolder": told.get("subfolder"), "version": told.get("version")}
    fetched = replace(ready.fetched, **{name: value for name, value in known.items() if value})
    return replace(ready, fetched=fetched)


@contextmanager
def _run_around() -> Generator[None]:
    """Join the run of the project that this process is, so that steps are runs below it."""
    if current_run() or flow_run_id() or not load_settings().run_id:
        yield
        return
    run = open_scope(Scope("steps"))
    with closing(run), entered(run):
        yield
