"""The registry: versions, promotions, events and the outbox."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from prefect_ml import (
    get_model_version,
    model_history,
    promote,
    register_model,
    search_model_versions,
    search_models,
    start_run,
)
from prefect_ml.errors import (
    ArtifactError,
    ModelNotFound,
    RegistryError,
    RunNotFound,
    ServiceError,
    StageConflict,
    StoreError,
    UnknownStage,
    VersionNotFound,
)
from prefect_ml.registry import backlog, holder_of, relay_pending, resolve_model_uri, served_holders
from prefect_ml.store import Store
from prefect_ml.store.models import record_logged_model

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def logged(store: Store, tmp_path: Path) -> str:
    """The URI of a logged model, whose folder is real and whose content does not matter here."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    with start_run() as run:
        record_logged_model(run.id, 1, "model", uri=str(folder), digest="d1", flavor="sklearn", store=store)
    return f"runs:/{run.id}/model"


def test_versions_count_up_and_know_their_run(logged: str) -> None:
    first = register_model("wine", logged, description="first", tags={"a": "b"})
    second = register_model("wine", logged)
    other = register_model("beer", f"models:/wine/{first.version}")
    assert (first.version, second.version, other.version) == (1, 2, 1)
    assert (first.stage, first.status, first.description, first.tags) == ("None", "Ready", "first", {"a": "b"})
    assert logged.startswith(f"runs:/{first.run_id}/")
    assert other.run_id == first.run_id
    assert get_model_version("wine", "latest") == second
    assert [m.name for m in search_models()] == ["beer", "wine"]
    assert [v.version for v in search_model_versions("name = 'wine' and version >= 2")] == [2]


def test_a_promotion_is_one_event_and_archives_the_holder(logged: str) -> None:
    for _ in range(2):
        register_model("wine", logged)
    first = promote("wine", 1, to="production", reason="the first")
    second = promote("wine", 2, to="Production", reason="beats v1", expect=1)
    assert (first.kind, first.from_stage, first.to_stage, first.reason) == (
        "promoted",
        "None",
        "Production",
        "the first",
    )
    assert second.evidence["previous"] == 1
    assert get_model_version("wine", "Production").version == 2
    assert get_model_version("wine", 1).stage == "Archived"
    assert holder_of("wine", "Production") == (2, second.id)
    assert served_holders() == [("wine", "Production", 2, second.id)]
    assert [event.kind for event in model_history("wine")] == [
        "registered",
        "registered",
        "promoted",
        "promoted",
        "demoted",
    ]
    assert resolve_model_uri("models:/wine/Production").digest == "d1"


def test_promoting_the_holder_changes_nothing(logged: str) -> None:
    register_model("wine", logged)
    event = promote("wine", 1, to="Production")
    assert promote("wine", 1, to="Production") == event
    assert len(model_history("wine")) == 2


def test_what_does_not_exist_is_named_and_nothing_is_written(logged: str) -> None:
    register_model("wine", logged)
    before = model_history("wine")
    run_id = logged.split("/")[1]
    wrong = {
        lambda: promote("beer", 1, to="Production"): (ModelNotFound, "beer"),
        lambda: promote("wine", 9, to="Production"): (VersionNotFound, "no version 9"),
        lambda: promote("wine", 1, to="Prod"): (UnknownStage, "None, Staging, Production, Archived"),
        lambda: promote("wine", 1, to="Production", expect=2): (StageConflict, "nobody"),
        lambda: get_model_version("wine", "Staging"): (VersionNotFound, "stage Staging"),
        lambda: model_history("beer"): (ModelNotFound, "beer"),
        lambda: register_model("a/b", logged): (RegistryError, "cannot name"),
        lambda: register_model("wine", "runs:/nobody/model"): (RunNotFound, "nobody"),
        lambda: register_model("wine", f"runs:/{run_id}/other"): (ArtifactError, "other"),
        lambda: register_model("wine", "http://x/y"): (RegistryError, "runs:/"),
    }
    for call, (error, words) in wrong.items():
        with pytest.raises(error, match=words):
            call()
    assert model_history("wine") == before
    assert get_model_version("wine", "latest").version == 1


def test_a_model_whose_files_are_gone_is_not_registered(logged: str, tmp_path: Path) -> None:
    (tmp_path / "model" / "MLmodel").unlink()
    with pytest.raises(RegistryError, match="gone"):
        register_model("wine", logged)
    assert search_models() == []


RACER = """
import sys
from prefect_ml import promote
from prefect_ml.errors import StageConflict
version, expect = int(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
try:
    promote("wine", version, to="Production", **({"expect": None} if expect == "nobody" else {}))
    print("won")
except StageConflict:
    print("lost")
"""


@pytest.mark.parametrize(("expect", "winners"), [("nobody", 1), ("anybody", 4)])
def test_racing_promotions_leave_one_holder(logged: str, store: Store, expect: str, winners: int) -> None:
    for _ in range(4):
        register_model("wine", logged)
    command = [sys.executable, "-c", RACER]
    racers = [
        subprocess.Popen([*command, str(v), expect], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for v in range(1, 5)
    ]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    results = [racer.communicate()[0].strip() for racer in racers]
    assert sorted(results) == ["lost"] * (4 - winners) + ["won"] * winners
    assert len(search_model_versions("stage = 'Production'", name="wine")) == 1
    history = model_history("wine")
    assert [event.id for event in history] == sorted(event.id for event in history), "ids sort as things happened"
    promoted = [event for event in history if event.kind == "promoted"]
    assert len(promoted) == winners
    assert promoted[-1].version == get_model_version("wine", "Production").version


def test_two_exclusive_holders_cannot_exist(logged: str, store: Store) -> None:
    for _ in range(2):
        register_model("wine", logged)
    event = promote("wine", 1, to="Production")
    with pytest.raises(StoreError, match=r"(?i)unique"), store.write() as connection:
        connection.execute(
            sa.text("INSERT INTO stage_holders VALUES ('wine', 2, 'Production', true, :event)"), {"event": event.id}
        )


@pytest.fixture
def events_api() -> Iterator[tuple[str, list[object], list[int]]]:
    """A real HTTP server that takes events; answers with the statuses that it is told, then 204."""
    taken: list[object] = []
    statuses: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = statuses.pop(0) if statuses else 204
            if status == 204:
                taken.extend(body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/api", taken, statuses
    server.shutdown()
    server.server_close()


def test_events_wait_in_the_outbox_until_they_are_acknowledged(
    logged: str, events_api: tuple[str, list[dict[str, object]], list[int]]
) -> None:
    url, taken, statuses = events_api
    register_model("wine", logged)
    event = promote("wine", 1, to="Production")
    assert backlog() == 2
    with pytest.raises(ServiceError, match="wait in the outbox"):
        relay_pending("http://127.0.0.1:9/api")
    statuses.append(503)
    with pytest.raises(ServiceError, match="503"):
        relay_pending(url)
    assert backlog() == 2
    assert relay_pending(url) == 2
    assert relay_pending(url) == 0
    assert [e["event"] for e in taken] == [
        "prefect-ml.model-version.registered",
        "prefect-ml.model-version.promoted",
    ]
    assert taken[1]["id"] == event.id
    assert taken[1]["payload"] == {
        "model": "wine",
        "version": 1,
        "stage": "Production",
        "event_id": event.id,
        "previous": None,
    }


def test_promote_tells_prefect_at_once_and_is_done_even_if_prefect_is_away(
    logged: str, events_api: tuple[str, list[object], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, taken, _ = events_api
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    register_model("wine", logged)
    promote("wine", 1, to="Staging")
    assert get_model_version("wine", "Staging").version == 1
    assert backlog() == 2
    monkeypatch.setenv("PREFECT_API_URL", url)
    promote("wine", 1, to="Production")
    assert (len(taken), backlog()) == (3, 0)
