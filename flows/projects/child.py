"""The process that runs a project's flow: `run_project` starts it with the interpreter of the project's environment."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import math
import sys
import time
from pathlib import Path
from typing import Any

from ...errors import PrefectMLError, ProjectError, ServiceError, SettingsError, StoreError
from .logs import told_once

__all__ = ["main"]

# Of other errors of ours the traceback shows the line of the project that is to be mended.
_TOLD = (ProjectError, StoreError, SettingsError, ServiceError)


def main(request: Path, answer: Path) -> int:
    """Run the flow that the request file names and write the answer file; give the exit code."""
    asked = json.loads(request.read_text())
    try:
        outcome = _run(asked["entry_point"], asked["params"], asked.get("until"))
    except ProjectError as error:
        outcome = {"refused": str(error)}
    # A process edge: whatever the project's module or Prefect's client raises becomes the answer.
    except Exception as error:  # noqa: BLE001
        outcome = {"failed": _sentence(error)}
    answer.write_text(json.dumps(outcome))
    return 0 if "state" in outcome else 1


def _run(entry_point: str, params: dict[str, Any], until: float | None) -> dict[str, Any]:
    from ...tasks.track import is_tracked, track

    flow = _load(entry_point)
    flow = flow if is_tracked(flow) else track(flow)
    values = _checked(flow, params)
    left = None if until is None else max(round(until - time.time(), 1), 0.1)
    bounded = left is not None and left < (flow.timeout_seconds or math.inf)
    if bounded:  # so that Prefect ends it, and its run says why
        flow.timeout_seconds = left
    with told_once(*_TOLD):
        state = flow(**values, return_state=True)
        if inspect.iscoroutine(state):
            state = asyncio.run(state)
    flow_run_id = str(state.state_details.flow_run_id)
    if not state.is_completed():
        if bounded and state.name == "TimedOut":
            return {"run_id": flow_run_id, "flow_run_id": flow_run_id, "late": True}
        problem = f"flow run {flow_run_id} is {state.name}: {' '.join((state.message or '').split())}"
        return {"run_id": flow_run_id, "flow_run_id": flow_run_id, "failed": problem}
    result = _plain(state.result(raise_on_failure=False))
    return {"run_id": flow_run_id, "flow_run_id": flow_run_id, "state": state.name, "result": result}


def _load(entry_point: str) -> Any:
    from prefect.exceptions import MissingFlowError
    from prefect.flows import load_flow_from_entrypoint

    try:
        return load_flow_from_entrypoint(entry_point, use_placeholder_flow=False)
    except MissingFlowError as error:
        raise ProjectError(
            f"The entry point {entry_point!r} is not a Prefect flow; decorate it with `@flow`."
        ) from error


def _checked(flow: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Give the parameters as the flow's signature wants them."""
    from prefect.exceptions import ParameterTypeError

    known: dict[str, Any] = flow.parameters.properties
    missing: list[str] = sorted(set(flow.parameters.required or ()) - set(params))
    unknown = " or ".join(repr(name) for name in sorted(set(params) - set(known)))
    problems = [f"has no parameter {unknown}; it has {', '.join(known) or 'none'}"] if unknown else []
    problems += [f"needs the parameter {name!r}; give it with -P {name}=VALUE" for name in missing]
    values: dict[str, Any] = {key: _parsed(value, known[key]) for key, value in params.items() if key in known}
    logger = logging.getLogger("prefect.flows")
    logger.disabled = True  # it would say the same in five lines
    try:
        values = flow.validate_parameters(values)
    except ParameterTypeError as error:
        problems += [f"cannot take {misfit}" for misfit in _misfits(error, missing)]
    finally:
        logger.disabled = False
    if problems:
        raise ProjectError(f"The flow {flow.name!r} {'; it '.join(problems)}.")
    return values


def _misfits(error: Exception, missing: list[str]) -> list[str]:
    """Give what Prefect says of each value that does not fit, less that those which are missing are missing."""
    whole, *each = str(error).split("\n - ")
    said = [" ".join(one.split()) for one in each or [whole]]
    return [one for one in said if one.partition(": ")[0] not in missing]


def _parsed(value: Any, schema: dict[str, Any]) -> Any:
    """Read text as JSON where the signature wants what only JSON can spell; the rest pydantic reads itself."""
    if not isinstance(value, str) or "string" in json.dumps(schema.get("anyOf", schema.get("type", "string"))):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _plain(result: Any) -> Any:
    try:
        return json.loads(json.dumps(result))
    except (TypeError, ValueError):
        return None


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, PrefectMLError) else f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
