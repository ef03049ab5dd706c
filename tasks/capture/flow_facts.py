"""What Prefect knows of the flow run around a run: flow, deployment, work pool and parameters, their secrets masked."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ...running import flow_run, task_run

__all__ = ["FlowFacts", "deployments", "flow_facts", "holds_secret", "shown"]

_MASK = "**********"
_SECRET = re.compile(r"(?i)passw|secret|token|api_?key|credential")
_LONGEST = 1000
_MOST = 100
_DEEPEST = 4
_API_SECONDS = 2.0
_TEXTS = ("pathlib", "datetime", "uuid", "decimal")  # modules whose values read well as text


@dataclass(frozen=True)
class FlowFacts:
    """What Prefect's own objects say, without asking its API.

    Attributes:
        flow: Name of the flow.
        flow_run: Name of the flow run.
        task: Name of the task, or None in the flow itself.
        deployment_id: Its deployment, or None.
        work_pool: Name of the work pool that ran it, or None.
        parameters: Parameters of the flow, fit for a record.
    """

    flow: str | None
    flow_run: str | None
    task: str | None
    deployment_id: str | None
    work_pool: str | None
    parameters: Mapping[str, Any]

    def as_record(self) -> dict[str, Any]:
        """Give what is known now under the names that records have; the deployment by name once that is known."""
        record = {
            "flow": self.flow,
            "flow_run": self.flow_run,
            "task": self.task,
            "deployment": deployments.name_of(self.deployment_id),
            "work_pool": self.work_pool,
            "parameters": dict(self.parameters),
        }
        return {name: value for name, value in record.items() if value is not None}


def flow_facts() -> FlowFacts | None:
    """Give what is known of the Prefect run around the caller; None outside of Prefect."""
    task, flow = task_run(), flow_run()
    if task is None and flow is None:
        return None
    run: Any = flow.context.flow_run if flow else None
    deployment = getattr(run, "deployment_id", None)
    return FlowFacts(
        flow=getattr(getattr(flow and flow.context, "flow", None), "name", None),
        flow_run=flow.name if flow else None,
        task=task.context.task.name if task else None,
        deployment_id=str(deployment) if deployment else None,
        work_pool=getattr(run, "work_pool_name", None),
        parameters=shown(getattr(flow and flow.context, "parameters", None) or {}),
    )


class _Deployments:
    """Names of deployments, asked for once per process, and never by who waits for a run to open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}

    def name_of(self, deployment_id: str | None) -> str | None:
        """Give the name, else the id."""
        return None if deployment_id is None else self._names.get(deployment_id, deployment_id)

    def lacks(self, deployment_id: str | None) -> bool:
        return deployment_id is not None and deployment_id not in self._names

    def ask(self, deployment_id: str | None) -> None:
        """Ask the API where the name is not known; where it does not answer soon, the id has to do."""
        if deployment_id is None or deployment_id in self._names:
            return
        from httpx import HTTPError
        from prefect.client.orchestration import get_client
        from prefect.exceptions import PrefectException

        try:
            with get_client(httpx_settings={"timeout": _API_SECONDS}, sync_client=True) as client:
                self._names[deployment_id] = client.read_deployment(deployment_id).name
        except (HTTPError, PrefectException):
            self._names[deployment_id] = deployment_id


deployments = _Deployments()


def shown(value: Any, depth: int = 0) -> Any:
    """Give a parameter as a record may hold it: plain values as they are, blocks by name, secrets masked."""
    if isinstance(value, (bool, int, type(None))) or (isinstance(value, float) and math.isfinite(value)):
        return value
    name = _MASK if hasattr(cast("Any", type(value)), "get_secret_value") else _block_name(value)
    fields = None if name else _fields(value)
    if depth < _DEEPEST and fields is not None:
        few = list(fields.items())[:_MOST]
        return {str(key): _MASK if _is_secret(key, item) else shown(item, depth + 1) for key, item in few}
    if depth < _DEEPEST and isinstance(value, (list, tuple)):
        return [shown(item, depth + 1) for item in cast("Sequence[Any]", value)[:_MOST]]
    as_text = isinstance(value, (str, float)) or type(value).__module__ in _TEXTS
    return name or (_cut(str(value)) if as_text else f"<{type(value).__name__}>")


def _is_secret(name: object, value: object) -> bool:
    return isinstance(value, (str, bytes)) and _SECRET.search(str(name)) is not None


def holds_secret(name: object, value: object) -> bool:
    """Whether a parameter, or a value in it, goes by a name that secrets have, or lies below one."""
    if isinstance(value, Mapping):
        return any(holds_secret(f"{name} {key}", item) for key, item in cast("Mapping[Any, Any]", value).items())
    if isinstance(value, (list, tuple)):
        return any(holds_secret(name, item) for item in cast("Sequence[Any]", value))
    return _is_secret(name, value)


def _fields(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, Mapping):
        return cast("Mapping[Any, Any]", value)
    names = getattr(cast("type[Any]", type(value)), "model_fields", None)  # a pydantic model
    return None if names is None else {name: getattr(value, name, None) for name in names}


def _block_name(value: Any) -> str | None:
    kind = cast("type[Any]", type(value))
    if not any(base.__module__ == "prefect.blocks.core" for base in kind.__mro__):
        return None
    document = getattr(value, "_block_document_name", None)
    return f"<{kind.__name__} {document}>" if document else f"<{kind.__name__}>"


def _cut(text: str) -> str:
    text = text.replace("\0", "\\0")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
