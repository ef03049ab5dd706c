"""Leaving a run's report in Prefect, as an artifact of the flow and task run that it belongs to."""

from __future__ import annotations

from uuid import UUID

from ..errors import ServiceError
from ..running import task_run
from ..store import Run, Store, current_store, get_run
from .run.reading import report_of
from .run.report import Report

__all__ = ["publish_report", "publish_run_report"]


def publish_run_report(run_id: str, *, store: Store | None = None) -> None:
    """Leave the report of a run on the Artifacts tab of its flow run.

    The artifact has no key, so that it belongs to this run alone and starts no collection. Works in synchronous and
    asynchronous flows and tasks alike; in the latter it holds up the event loop for one short request.

    Raises:
        RunNotFound: No run has this id.
        ServiceError: The run belongs to no Prefect run, or Prefect did not take the report.
    """
    from prefect.utilities.urls import url_for

    store = current_store(store)
    run = get_run(run_id, store=store)
    task_run_id, flow_run_id = _prefect_ids(run)
    links = {
        "Flow run": flow_run_id and url_for("flow-run", UUID(flow_run_id)),
        "Task run": task_run_id and url_for("task-run", UUID(task_run_id)),
    }
    report = report_of(run, store=store, links={name: url for name, url in links.items() if url})
    publish_report(report, f"the report of run {run_id}", flow_run_id=flow_run_id, task_run_id=task_run_id)


def publish_report(report: Report, what: str, *, flow_run_id: str | None, task_run_id: str | None) -> None:
    """Leave a report on the Artifacts tab of a flow run.

    Args:
        report: The report.
        what: What it is, for the error.
        flow_run_id: The flow run that it belongs to, or None.
        task_run_id: The task run that it belongs to, or None.

    Raises:
        ServiceError: Prefect did not take it.
    """
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import ArtifactCreate
    from prefect.exceptions import PrefectException

    artifact = ArtifactCreate(
        type="markdown",
        description=report.description,
        data=report.markdown,
        flow_run_id=UUID(flow_run_id) if flow_run_id else None,
        task_run_id=UUID(task_run_id) if task_run_id else None,
    )
    try:
        with get_client(sync_client=True) as client:
            client.create_artifact(artifact)
    # Prefect says RuntimeError where its own server does not start, ValueError where it has no address of one.
    except (HTTPError, PrefectException, RuntimeError, ValueError) as error:
        raise ServiceError(f"Prefect did not take {what} ({error}); is its server up?") from error


def _prefect_ids(run: Run) -> tuple[str | None, str | None]:
    around = task_run()
    # A child run has no task run of its own, but its report belongs with the task run in which it ended.
    inside = around.id if around and around.flow_run_id == run.flow_run_id else None
    task_run_id, flow_run_id = run.task_run_id or inside, run.flow_run_id
    if not (task_run_id or flow_run_id):
        raise ServiceError(f"Run {run.id} belongs to no Prefect run, so there is no page to leave its report on.")
    return task_run_id, flow_run_id
