"""Leaving a run's report in Prefect, as an artifact of the flow and task run that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from ..errors import ServiceError
from ..running import task_run
from ..store import MetricHistory, Run, Store, current_store
from ..store.history import metric_history
from ..store.queries import get_run
from .run_report import render_run_report

if TYPE_CHECKING:
    from prefect.client.schemas.actions import ArtifactCreate

__all__ = ["publish_run_report"]


@dataclass(frozen=True)
class _Histories(Mapping[str, MetricHistory]):
    """The series of a run, each read when it is asked for and kept by nobody."""

    run: Run
    store: Store

    def __getitem__(self, name: str) -> MetricHistory:
        if name not in self.run.metrics:
            raise KeyError(name)
        return metric_history(self.run.id, name, attempt=self.run.attempt, store=self.store)

    def __iter__(self) -> Iterator[str]:
        return iter(self.run.metrics)

    def __len__(self) -> int:
        return len(self.run.metrics)


def publish_run_report(run_id: str, *, store: Store | None = None) -> None:
    """Leave the report of a run on the Artifacts tab of its flow run.

    The artifact has no key, so that it belongs to this run alone and starts no collection. Works in synchronous and
    asynchronous flows and tasks alike; in the latter it holds up the event loop for one short request.

    Raises:
        RunNotFound: No run has this id.
        ServiceError: The run belongs to no Prefect run, or Prefect did not take the report.
    """
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException

    store = current_store(store)
    run = get_run(run_id, store=store)
    artifact = _artifact(run, store)
    try:
        with get_client(sync_client=True) as client:
            client.create_artifact(artifact)
    # Prefect says RuntimeError where its own server does not start, ValueError where it has no address of one.
    except (HTTPError, PrefectException, RuntimeError, ValueError) as error:
        raise ServiceError(f"Prefect did not take the report of run {run_id} ({error}); is its server up?") from error


def _artifact(run: Run, store: Store) -> ArtifactCreate:
    from prefect.client.schemas.actions import ArtifactCreate
    from prefect.utilities.urls import url_for

    task_run_id, flow_run_id = _prefect_ids(run)
    links = {
        "Flow run": flow_run_id and url_for("flow-run", flow_run_id),
        "Task run": task_run_id and url_for("task-run", task_run_id),
    }
    report = render_run_report(run, _Histories(run, store), links={name: url for name, url in links.items() if url})
    return ArtifactCreate(
        type="markdown",
        description=report.description,
        data=report.markdown,
        flow_run_id=flow_run_id,
        task_run_id=task_run_id,
    )


def _prefect_ids(run: Run) -> tuple[UUID | None, UUID | None]:
    around = task_run()
    # A child run has no task run of its own, but its report belongs with the task run in which it ended.
    inside = around.id if around and around.flow_run_id == run.flow_run_id else None
    task_run_id, flow_run_id = run.task_run_id or inside, run.flow_run_id
    if not (task_run_id or flow_run_id):
        raise ServiceError(f"Run {run.id} belongs to no Prefect run, so there is no page to leave its report on.")
    return _uuid(task_run_id), _uuid(flow_run_id)


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None
