"""The product's own flows on a running `prefect-ml up`: promotions served, stale, lost and failed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import sqlalchemy as sa

from prefect_ml import get_endpoint, log_model, promote, start_run
from prefect_ml.errors import EndpointNotFound
from prefect_ml.registry import backlog, holder_of
from prefect_ml.registry import promote as promote_silently
from prefect_ml.settings import load_settings
from prefect_ml.store import open_store, schema

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@pytest.fixture(scope="module")
def shared(laptop):
    return open_store(load_settings(environ=laptop.environ, block=dict))


@pytest.fixture(scope="module")
def api(laptop) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=laptop.api_url, timeout=30) as client:
        yield client


def new_version(shared, name: str, answer: int, requirements: list[str] | None = None) -> int:
    def predict(rows):
        return [answer for _ in rows]

    with start_run(name=name, store=shared):
        logged = log_model(predict, example=[[1.0], [2.0]], requirements=requirements, register_as=name)
    return logged.version


def eventually(look, seconds=180):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
    return found


def served(shared, name: str, version: int):
    """Wait until a version answers, and give the endpoint."""

    def look():
        try:
            found = get_endpoint(name, store=shared)
        except EndpointNotFound:
            return None
        return found if (found.status, found.version) == ("Ready", version) else None

    return eventually(look)


def flow_run_of(api: httpx.Client, event_id: str) -> dict:
    """Wait until the flow run for an event has ended, and give it."""

    def look():
        runs = api.post("/flow_runs/filter", json={"flows": {"name": {"any_": ["serve-on-promotion"]}}}).json()
        return [run for run in runs if run["parameters"]["event_id"] == event_id and run["state"]["type"] in ENDED]

    return eventually(look)[0]


def run_deployment(api: httpx.Client, name: str, parameters: dict | None = None) -> dict:
    deployment = api.get(f"/deployments/name/{name}").raise_for_status().json()
    body = {"parameters": parameters or {}}

    def created():  # Prefect answers 503 while its SQLite database is busy, and its own clients try again
        answer = api.post(f"/deployments/{deployment['id']}/create_flow_run", json=body)
        return None if answer.status_code == 503 else answer.raise_for_status().json()

    run = eventually(created)

    def look():
        found = api.get(f"/flow_runs/{run['id']}").json()
        return found if found["state"]["type"] in ENDED else None

    return eventually(look)


@contextmanager
def agent_held(laptop) -> Iterator[None]:
    """Hold the agent still, so that it relays nothing meanwhile."""
    pid = json.loads((laptop.home / "services" / "agent.json").read_text())["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_promotion_is_served_once_and_told_as_a_story(laptop, shared, api):
    first = new_version(shared, "story", 1)
    event = promote("story", first, to="Production", store=shared)
    endpoint = served(shared, "story", first)
    reply = httpx.post(f"{endpoint.url}/invocations", json={"inputs": [[1.0]]}, timeout=30)
    assert (reply.json()["predictions"], reply.headers["X-Model-Version"]) == ([1], str(first))

    run = flow_run_of(api, event.id)
    assert run["name"] == f"serve story v{first} → Production"
    assert run["state"]["type"] == "COMPLETED"
    assert run["state"]["message"] == f"story v{first} answers at {endpoint.url}"
    artifacts = api.post("/artifacts/filter", json={"artifacts": {"key": {"any_": ["endpoint-story-production"]}}})
    assert [one["flow_run_id"] for one in artifacts.json()] == [run["id"]]
    wanted = {"filter": {"event": {"name": ["prefect-ml.endpoint.deployed"]}}}
    events = eventually(lambda: api.post("/events/filter", json=wanted).json()["events"])
    assert "prefect-ml.endpoint.story.Production" in {one["resource"]["prefect.resource.id"] for one in events}

    same = {"model": "story", "version": first, "stage": "Production", "event_id": event.id}
    again = run_deployment(api, "serve-on-promotion/serve-on-promotion", same)
    assert again["state"]["type"] == "COMPLETED"
    assert "acted upon before" in again["state"]["message"]

    second = new_version(shared, "story", 2)
    promote("story", second, to="Production", store=shared)
    assert served(shared, "story", second).url == endpoint.url
    late = run_deployment(api, "serve-on-promotion/serve-on-promotion", same)
    assert f"Production of story is held by v{second} now" in late["state"]["message"]
    assert get_endpoint("story", store=shared).desired_version == second


def test_a_stage_that_is_not_served_starts_nothing(shared, api):
    version = new_version(shared, "staged", 1)
    event = promote("staged", version, to="Staging", store=shared)
    run = flow_run_of(api, event.id)
    assert (run["state"]["type"], run["state"]["message"]) == (
        "COMPLETED",
        "Nothing to do. Staging is not a stage that is served.",
    )
    with pytest.raises(EndpointNotFound):
        get_endpoint("staged", store=shared)


def test_reconcile_heals_a_lost_promotion_and_stops_what_nobody_holds(laptop, shared, api):
    version = new_version(shared, "lost", 1)
    with agent_held(laptop):
        promote_silently("lost", version, to="Production", store=shared)
        with shared.write() as connection:  # Prefect acknowledged the event and died
            connection.execute(sa.update(schema.outbox).values(relayed_at=1))
    assert run_deployment(api, "reconcile/reconcile")["state"]["type"] == "COMPLETED"
    with pytest.raises(EndpointNotFound):  # its own event may still be on its way
        get_endpoint("lost", store=shared)
    assert run_deployment(api, "reconcile/reconcile", {"grace": 0})["state"]["type"] == "COMPLETED"
    assert served(shared, "lost", version).status == "Ready"
    healed = flow_run_of(api, holder_of("lost", "Production", store=shared)[1])
    assert healed["name"] == f"serve lost v{version} → Production"

    promote_silently("lost", version, to="Archived", store=shared)
    assert run_deployment(api, "reconcile/reconcile")["state"]["type"] == "COMPLETED"
    assert get_endpoint("lost", store=shared).status == "Stopped"
    serving_runs = {"flows": {"name": {"any_": ["serve-on-promotion"]}}}
    before = api.post("/flow_runs/count", json=serving_runs).json()
    assert run_deployment(api, "reconcile/reconcile", {"grace": 0})["state"]["type"] == "COMPLETED"
    assert api.post("/flow_runs/count", json=serving_runs).json() == before, "nothing was left to heal"


def test_relay_tells_prefect_what_the_agent_did_not(laptop, shared, api):
    version = new_version(shared, "relayed", 1)
    with agent_held(laptop):
        event = promote_silently("relayed", version, to="Staging", store=shared)
        assert backlog(store=shared) >= 1
        assert json.loads(laptop.run("status", "--json").stdout)["outbox_backlog"] >= 1
        run = run_deployment(api, "relay/relay")
        assert run["state"]["type"] == "COMPLETED"
        assert backlog(store=shared) == 0
    assert flow_run_of(api, event.id)["state"]["type"] == "COMPLETED"


def test_a_bento_that_cannot_be_built_fails_the_run_and_the_old_version_stays(shared, api):
    good = new_version(shared, "broken", 1)
    promote("broken", good, to="Production", store=shared)
    endpoint = served(shared, "broken", good)
    bad = new_version(shared, "broken", 2, requirements=["no-such-package-of-anybody==1.0"])
    event = promote("broken", bad, to="Production", store=shared)
    run = flow_run_of(api, event.id)
    assert run["state"]["type"] == "FAILED"
    assert "no-such-package-of-anybody" in run["state"]["message"]
    reply = httpx.post(f"{endpoint.url}/invocations", json={"inputs": [[1.0]]}, timeout=30)
    assert (reply.json()["predictions"], reply.headers["X-Model-Version"]) == ([1], str(good))
