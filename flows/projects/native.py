"""Entry points as Prefect flows: with a signature that Prefect makes a typed form of, and that any process can run."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import PrefectMLError, ProjectError
from .logs import joined, told_once
from .model import EntryPoint, Parameter
from .ready import Asked, ProjectRun, Ready, prepare
from .running import run_ready

if TYPE_CHECKING:
    from prefect import Flow

__all__ = ["flow_of", "project_flow", "run_as_flow"]

_TYPES: dict[str, Callable[[str], Any]] = {"string": str, "path": str, "uri": str, "float": float, "int": int}
_TAKEN = ("self", "return_state", "wait_for")  # what calling a flow takes for itself
_MORE = "arguments"  # of an entry point that declares no parameters: whatever its script understands


def project_flow(
    uri: str,
    entry_point: str = "main",
    *,
    version: str | None = None,
    environment: str | None = None,
    experiment: str | None = None,
    timeout: float | None = None,
    credentials: str | None = None,
    **options: Any,
) -> Flow[..., ProjectRun]:
    """Make a Prefect flow of a project's entry point: for `prefect deploy`, for subflows, for any task runner.

    Its parameters are those that the entry point declares, typed and with their defaults; a dash in a name becomes an
    underscore. Each run fetches the project anew, so that a branch means its newest commit.

    Args:
        uri: Folder or URL of the project, as in `run_project`.
        entry_point: Which of its entry points.
        version: Branch, tag or commit.
        environment: Kind of environment instead of the declared one.
        experiment: Experiment of the runs.
        timeout: Seconds after which a run is stopped and has failed.
        credentials: Prefect block that reads a private repository.
        options: Every option of `prefect.flow`.

    Raises:
        ProjectError: The project cannot be had, or has no such entry point.
    """
    asked = Asked(str(uri), entry_point, version, environment, experiment, timeout, credentials)
    return flow_of(prepare(asked, _silent), **options)


def run_as_flow(ready: Ready, params: Mapping[str, Any], report: Callable[[str], None] | None) -> ProjectRun:
    """Run an entry point as a flow run, at the API that Prefect knows."""
    written = {name: value for name, value in params.items() if value is not None}
    flow = flow_of(ready, written=written, report=report)
    names = {name: key for key, name in _names(ready.point, written).items()}
    with told_once(PrefectMLError):
        return flow(**{names[name]: _typed(ready.point, name, value) for name, value in written.items()})


def flow_of(
    ready: Ready,
    *,
    written: Mapping[str, Any] | None = None,
    report: Callable[[str], None] | None = None,
    **options: Any,
) -> Flow[..., ProjectRun]:
    """Make a Prefect flow of an entry point that was read.

    Args:
        ready: The entry point.
        written: Values of this very run, as somebody wrote them; its record repeats them. Among them may be ones that
            the entry point does not declare. None for a flow that is to run anywhere, and fetches the project anew.
        report: Called with each line that a run prints, beside Prefect's log.
        options: Every option of `prefect.flow`.
    """
    from prefect import flow

    asked, point, fetched = ready.asked, ready.point, ready if written is not None else None
    names = _names(point, written or {})
    signature = _signature(point, names)

    def run(*args: Any, **kwargs: Any) -> ProjectRun:
        values = signature.bind(*args, **kwargs).arguments
        more: dict[str, Any] = (values.pop(_MORE, None) or {}) if _MORE not in names else {}
        params = {names[key]: value for key, value in values.items() if value is not None}
        return _run(fetched or asked, {**_as_written(point, params, written or {}), **more}, report)

    run.__name__ = re.sub(r"\W", "_", point.name)
    run.__qualname__ = run.__name__
    run.__doc__ = f"Run the entry point {point.name!r} of the project {ready.project.name!r}."
    run.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    title = re.sub(r"[/%&><]", "-", f"{ready.project.name}-{point.name}")
    wanted: Any = {"name": title, **options}
    return flow(**wanted)(run)


def _run(what: Ready | Asked, params: Mapping[str, Any], report: Callable[[str], None] | None) -> ProjectRun:
    from prefect.context import FlowRunContext
    from prefect.logging.loggers import flow_run_logger

    context: Any = FlowRunContext.get()
    # Where a task calls the flow, the usual way would give the logger of the task.
    logger: Any = flow_run_logger(context.flow_run, context.flow)
    with joined(lambda text: logger.info("%s", text)) as log:

        def say(line: str) -> None:
            log(line)
            if report:
                report(line)

        return run_ready(prepare(what, say) if isinstance(what, Asked) else what, params, say)


def _names(point: EntryPoint, written: Mapping[str, Any]) -> dict[str, str]:
    """Give the parameters' names by the names that they have in Python.

    Raises:
        ProjectError: Two would have the same.
    """
    names: dict[str, str] = {}
    for name in dict.fromkeys([*point.parameters, *written]):
        key = re.sub(r"\W", "_", name)
        key = f"p{key}" if not key[:1].isalpha() else f"{key}_" if keyword.iskeyword(key) or key in _TAKEN else key
        if key in names:
            raise ProjectError(
                f"The parameters {names[key]!r} and {name!r} of {point.name!r} are the same in Python; rename one."
            )
        names[key] = name
    return names


def _signature(point: EntryPoint, names: Mapping[str, str]) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    made: list[inspect.Parameter] = []
    for key, name in names.items():
        declared = point.parameters.get(name) or Parameter(name, default="")
        default, annotation = _default_of(declared)
        made.append(inspect.Parameter(key, kind, default=default, annotation=annotation))
    if not point.parameters and _MORE not in names:
        optional = inspect.Parameter(_MORE, kind, default=None, annotation=dict[str, Any] | None)
        made.append(optional)
    made.sort(key=lambda one: one.default is not inspect.Parameter.empty)
    return inspect.Signature(made, return_annotation=ProjectRun)


def _default_of(declared: Parameter) -> tuple[Any, Any]:
    """Give default and annotation; a default such as `None`, which is no number, stands for no value."""
    convert: Any = _TYPES[declared.type]
    if declared.default is None:
        return inspect.Parameter.empty, convert
    try:
        return convert(declared.default), convert
    except ValueError:
        return None, convert | None


def _as_written(point: EntryPoint, params: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """Prefer the text that somebody wrote to what Prefect has made of it: 0.10, where the value is 0.1."""
    kept: dict[str, Any] = {}
    for name, value in params.items():
        declared = point.parameters.get(name)
        if declared is None or value != _typed(point, name, written.get(name, declared.default)):
            kept[name] = value
        elif name in written:
            kept[name] = written[name]
        # A default is left to the project: as a value, the path of one of its files would be looked for elsewhere.
    return kept


def _typed(point: EntryPoint, name: str, value: Any) -> Any:
    """Give a value as its declared type; as it is where it does not fit."""
    declared = point.parameters.get(name)
    try:
        return _TYPES[declared.type](value) if declared and isinstance(value, str) else value
    except ValueError:
        return value


def _silent(_: str) -> None:
    """Report nothing."""
