"""Bentos, endpoints and the agent: real builds, real processes, real requests."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

import prefect_ml
from prefect_ml.errors import BentoFailed, EndpointNotFound, RolloutFailed, ServingError, VersionNotFound
from prefect_ml.serving import await_rollout, set_desired, stop_endpoint
from prefect_ml.settings import load_settings
from prefect_ml.store import new_id, open_store, schema

ROWS, KINDS = load_iris(return_X_y=True)
BODY = json.dumps({"inputs": ROWS[:2].tolist()}).encode()
JSON = "application/json"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, environments: Path) -> Iterator[Path]:
    """One home for all tests here."""
    folder = tmp_path_factory.mktemp("serving") / "home"
    folder.mkdir()
    (folder / "environments").symlink_to(environments)
    with pytest.MonkeyPatch.context() as patch:
        for key in [key for key in os.environ if key.startswith(("PREFECT_ML_", "PREFECT_API", "PREFECT_HOME"))]:
            patch.delenv(key)
        patch.setenv("PREFECT_ML_HOME", str(folder))
        yield folder
        open_store().engine.dispose()


@pytest.fixture(scope="module")
def agents(house: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start an agent; every one that a test starts is ended, and so are its servers."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        program = (
            "from prefect_ml.serving import run_agent; from prefect_ml.settings import load_settings;"
            "run_agent(load_settings())"
        )
        log = (house.parent / f"agent{len(started)}.log").open("w")
        started.append(subprocess.Popen([sys.executable, "-c", program], stdout=log, stderr=log, text=True))
        return started[-1]

    try:
        yield start
    finally:
        servers = children(house)
        for agent in started:
            agent.terminate()
        for agent in started:
            agent.wait(60)
        for pid in servers:
            _kill_group(pid)


@pytest.fixture(scope="module")
def agent(agents: Callable[[], subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """The agent that runs now, as a list of one: a test may replace it."""
    return [agents()]


@pytest.fixture(scope="module")
def iris(agent: list[subprocess.Popen[str]]) -> prefect_ml.serving.Endpoint:
    """Version 1 of `iris`, served."""
    register("iris", LogisticRegression(max_iter=500).fit(ROWS, KINDS))
    return prefect_ml.deploy_endpoint("iris", 1)


@pytest.fixture(scope="module")
def second(iris: prefect_ml.serving.Endpoint) -> int:
    """Another version of `iris`, which answers 2 to everything; packaged, not served."""
    version = register("iris", DummyClassifier(strategy="constant", constant=2).fit(ROWS, KINDS))
    prefect_ml.build_bento("iris", version)
    return version


def register(name: str, model: Any, **options: Any) -> int:
    with prefect_ml.start_run(experiment="serving"):
        logged = prefect_ml.log_model(model, **{"example": ROWS[:3], **options}, register_as=name)
    assert logged.version is not None
    return logged.version


def ask(url: str, path: str, body: bytes | None = None, kind: str | None = JSON) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        headers = {"Content-Type": kind} if body is not None and kind else {}
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def children(house: Path) -> list[int]:
    file = house / "endpoints" / "children.json"
    return [entry["pid"] for entry in json.loads(file.read_text())] if file.exists() else []


def only_child(house: Path) -> int:
    """The one server that runs, once those that it replaced have ended."""
    until(lambda: len(children(house)) == 1)
    return children(house)[0]


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def test_a_promoted_version_answers_and_says_who_it_is(iris: prefect_ml.serving.Endpoint):
    assert (iris.status, iris.version, iris.target, iris.message) == ("Ready", 1, "process", "")
    status, headers, body = ask(iris.url, "/invocations", BODY)
    assert status == 200
    assert json.loads(body) == {"predictions": [0, 0]}
    run_id = prefect_ml.get_model_version("iris", 1).run_id
    for path in ("/ping", "/health", "/version", "/livez", "/readyz", "/metrics", "/docs.json", "/no-such-page"):
        status, headers, _ = ask(iris.url, path)
        assert status == (404 if path == "/no-such-page" else 200), path
        named = {key: headers[key] for key in ("X-Model-Name", "X-Model-Version", "X-Run-Id")}
        assert named == {"X-Model-Name": "iris", "X-Model-Version": "1", "X-Run-Id": run_id}, path


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"instances": ROWS[:2].tolist()}, JSON),
        ({"dataframe_split": {"columns": ["a", "b", "c", "d"], "data": ROWS[:2].tolist()}}, JSON),
        ({"dataframe_records": [dict(zip("abcd", row, strict=True)) for row in ROWS[:2].tolist()]}, JSON),
        ("a,b,c,d\n" + "\n".join(",".join(map(str, row)) for row in ROWS[:2]), "text/csv; charset=utf-8"),
        ("0,1,2,3\n" + "\n".join(",".join(map(str, row)) for row in ROWS[:2]), "text/csv"),
    ],
)
def test_every_form_of_the_scoring_protocol_is_understood(iris: prefect_ml.serving.Endpoint, body: Any, kind: str):
    data = body if isinstance(body, str) else json.dumps(body)
    status, _, answer = ask(iris.url, "/invocations", data.encode(), kind)
    assert (status, json.loads(answer)) == (200, {"predictions": [0, 0]})


def test_predict_is_typed_and_documented(iris: prefect_ml.serving.Endpoint):
    status, _, answer = ask(iris.url, "/predict", BODY)
    assert (status, json.loads(answer)) == (200, {"predictions": [0, 0]})
    described = json.loads(ask(iris.url, "/docs.json")[2])
    inputs = described["components"]["schemas"]["PredictRequestIODescriptor"]["properties"]["inputs"]
    assert (inputs["items"]["minItems"], inputs["items"]["maxItems"]) == (4, 4)


@pytest.mark.parametrize("path", ["/invocations", "/predict"])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", JSON),
        (b"{", JSON),
        (b"[1, 2]", JSON),
        (b"null", JSON),
        (b"\xff\xfe\x00", JSON),
        (b"[" * 100_000, JSON),
        (b'{"inputs": [[1, 2, 3]]}', JSON),
        (b'{"inputs": [[1, 2, 3, "x"]]}', JSON),
        (b'{"inputs": [[1, 2, 3, null]]}', JSON),
        (b'{"inputs": [[1, 2, 3, 4], [1]]}', JSON),
        (b'{"inputs": 7}', JSON),
        (b'{"inputs": [[NaN, 1, 1, 1]]}', JSON),
        (b'{"inputs": {"a": [1], "b": [1, 2]}}', JSON),
        (b'{"instances": [[1, 2, 3, 4]], "inputs": [[1, 2, 3, 4]]}', JSON),
        (b'{"inputs": [[1, 2, 3, 4]], "extra": 1}', JSON),
        (b'{"dataframe_split": [1]}', JSON),
        (b'{"rows": [{"a": 1}]}', JSON),
        (b"\x80\x04.", "application/vnd.bentoml+pickle"),
        (b"xx", "multipart/form-data; boundary=a"),
        (b"a,b\n1", "text/csv"),
        (b'{"inputs": [[1, 2, 3, 4]]}', "application/json; charset=latin-1"),
        (b'{"inputs": [[1, 2, 3, 4]]}', None),
    ],
)
def test_nonsense_gets_one_sentence_and_no_server_error(
    iris: prefect_ml.serving.Endpoint, path: str, body: bytes, kind: str | None
):
    status, headers, answer = ask(iris.url, path, body, kind)
    assert 400 <= status < 500, answer
    sentence = json.loads(answer)["error"]
    assert isinstance(sentence, str)
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    assert headers["X-Model-Version"] == "1"


def test_a_request_may_not_be_too_large(iris: prefect_ml.serving.Endpoint):
    connection = http.client.HTTPConnection(iris.url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Type", JSON)
    connection.putheader("Content-Length", str(2**40))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert "fewer rows" in json.loads(answer.read())["error"]
    connection.close()


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        ("POST /invocations", b"abc", 415),
        ("POST /invocations", None, 413),
        ("GET http://elsewhere.example/ping", b"", 400),
        ("OPTIONS *", b"", 400),
    ],
    ids=["gzip", "chunked and too large", "absolute target", "no path"],
)
def test_the_router_refuses_what_it_cannot_pass_on(
    iris: prefect_ml.serving.Endpoint, head: str, body: bytes | None, status: int
):
    host, port = iris.url.removeprefix("http://").split(":")
    encoding = "Content-Encoding: gzip\r\nContent-Length: 3" if body else "Transfer-Encoding: chunked"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n{encoding}\r\n\r\n".encode())
        chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
        with contextlib.suppress(ConnectionError):
            for part in [chunk] * 70 if body is None else [body]:
                connection.sendall(part)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == status
        assert answer.getheader("X-Model-Name") == "iris"
        assert answer.getheader("X-Run-Id")
        assert json.loads(answer.read())["error"].endswith(".")


def test_columns_are_enforced_by_name_and_type(agent: list[subprocess.Popen[str]]):
    import pandas as pd

    frame = pd.DataFrame({"length": [1.0, 2.0], "count": [1, 2], "kind": ["a", "b"]})
    register("table", lambda rows: rows["length"] * rows["count"], example=frame)
    url = prefect_ml.deploy_endpoint("table", 1).url
    split = {"columns": ["kind", "count", "length", "more"], "data": [["a", 3, 2, None], ["b", 4, 0.5, 1]]}
    status, _, answer = ask(url, "/invocations", json.dumps({"dataframe_split": split}).encode())
    assert (status, json.loads(answer)) == (200, {"predictions": [6.0, 2.0]})
    status, _, answer = ask(url, "/invocations", b"length,count,kind\n2,3,a\n0.5,4,b\n", "text/csv")
    assert (status, json.loads(answer)) == (200, {"predictions": [6.0, 2.0]})
    rows = [{"length": 2, "count": 3, "kind": "a"}]
    status, _, answer = ask(url, "/predict", json.dumps({"rows": rows}).encode())
    assert (status, json.loads(answer)) == (200, {"predictions": [6.0]})
    wrong = {"count": 1.5, "kind": 7, "length": "long"}
    for name, value in wrong.items():
        record = {**rows[0], name: value}
        for path, body in (("/invocations", {"dataframe_records": [record]}), ("/predict", {"rows": [record]})):
            status, _, answer = ask(url, path, json.dumps(body).encode())
            assert status == 400
            assert name in json.loads(answer)["error"]
    status, _, answer = ask(url, "/invocations", b'{"dataframe_records": [{"length": 1, "kind": "a"}]}')
    assert (status, "'count' is missing" in json.loads(answer)["error"]) == (400, True)
    stop_endpoint("table")


def test_a_bento_is_built_once_and_names_what_it_holds(iris: prefect_ml.serving.Endpoint):
    first, second = prefect_ml.build_bento("iris", 1), prefect_ml.build_bento("iris", 1)
    assert first == second
    described = (Path(first.uri) / "bento.yaml").read_text()
    version = prefect_ml.get_model_version("iris", 1)
    assert version.run_id is not None
    assert version.run_id in described
    assert version.digest in described
    pins = (Path(first.uri) / "env" / "python" / "requirements.txt").read_text()
    assert f"numpy=={np.__version__}" in pins


def test_a_bento_that_cannot_be_built_leaves_nothing(house: Path):
    version = register("lost", DummyClassifier().fit(ROWS, KINDS), requirements=["no-such-package-as-this==1.0"])
    with pytest.raises(BentoFailed, match="no-such-package-as-this"):
        prefect_ml.build_bento("lost", version)
    with open_store().read() as connection:
        assert "lost" not in connection.execute(schema.bentos.select()).scalars().all()
    assert not (house / "artifacts" / "bentos" / "lost").exists()


def test_a_second_version_replaces_the_first_without_a_failed_request(iris: prefect_ml.serving.Endpoint, second: int):
    seen: list[tuple[int, str]] = []
    done = threading.Event()

    def go_on_asking() -> None:
        connection = http.client.HTTPConnection(iris.url.removeprefix("http://"), timeout=60)
        while not done.is_set():
            connection.request("POST", "/invocations", BODY, {"Content-Type": JSON})
            answer = connection.getresponse()
            answer.read()
            seen.append((answer.status, answer.headers["X-Model-Version"]))
        connection.close()

    threads = [threading.Thread(target=go_on_asking) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        endpoint = prefect_ml.deploy_endpoint("iris", second)
        until(lambda: len(seen) > 0 and seen[-1][1] == str(second))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in seen} == {200}
    assert {found for _, found in seen} == {"1", str(second)}
    assert endpoint.url == iris.url
    assert json.loads(ask(iris.url, "/invocations", BODY)[2]) == {"predictions": [2, 2]}
    prefect_ml.deploy_endpoint("iris", 1)


def test_a_version_that_fails_its_check_leaves_the_old_one_serving(iris: prefect_ml.serving.Endpoint):
    def only_at_home(rows: Any) -> Any:
        import sys

        if "bentoml" in sys.modules:
            raise ValueError("not on a server")
        return rows[:, 0]

    version = register("iris", only_at_home)
    event = new_id()
    prefect_ml.build_bento("iris", version)
    set_desired("iris", "Production", version, event_id=event)
    with pytest.raises(RolloutFailed, match="not on a server"):
        await_rollout("iris", "Production", version, timeout=60)
    endpoint = prefect_ml.get_endpoint("iris")
    assert (endpoint.status, endpoint.desired_version, endpoint.version) == ("Degraded", version, 1)
    assert ask(iris.url, "/invocations", BODY)[1]["X-Model-Version"] == "1"
    set_desired("iris", "Production", version, event_id=event)  # the same event again: nothing is tried again
    assert prefect_ml.get_endpoint("iris").status == "Degraded"
    assert prefect_ml.deploy_endpoint("iris", 1).message == ""


def test_desired_state_moves_forward_only(iris: prefect_ml.serving.Endpoint, second: int):
    earlier = new_id()
    time.sleep(0.01)
    prefect_ml.deploy_endpoint("iris", 1)
    set_desired("iris", "Production", second, event_id=earlier)
    assert prefect_ml.get_endpoint("iris").desired_version == 1
    with pytest.raises(RolloutFailed, match="no longer"):
        await_rollout("iris", "Production", second, timeout=5)
    with pytest.raises(VersionNotFound):
        set_desired("iris", "Production", 99, event_id=new_id())
    with pytest.raises(EndpointNotFound):
        prefect_ml.get_endpoint("iris", "Staging")


def test_a_killed_server_comes_back(iris: prefect_ml.serving.Endpoint, house: Path):
    pid = only_child(house)
    os.kill(pid, signal.SIGKILL)
    until(lambda: children(house) not in ([pid], []))
    until(lambda: prefect_ml.get_endpoint("iris").status == "Ready")
    status, headers, _ = ask(iris.url, "/invocations", BODY)
    assert (status, headers["X-Model-Version"]) == (200, "1")


def test_what_a_killed_agent_left_is_ended_and_served_again(
    iris: prefect_ml.serving.Endpoint, house: Path, agent: list[subprocess.Popen[str]], agents: Any
):
    orphan = only_child(house)
    agent[0].kill()
    agent[0].wait()
    agent[0] = agents()
    until(lambda: children(house) not in ([orphan], []))
    until(lambda: prefect_ml.get_endpoint("iris").status == "Ready")
    assert ask(iris.url, "/invocations", BODY)[1]["X-Model-Version"] == "1"
    with pytest.raises(ProcessLookupError):
        os.killpg(orphan, 0)


def test_a_second_agent_of_the_same_home_gives_up(iris: prefect_ml.serving.Endpoint, house: Path):
    command = [sys.executable, "-m", "prefect_ml.cli", "agent"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Another agent" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stopped_endpoint_says_so_until_it_is_deployed_again(iris: prefect_ml.serving.Endpoint, house: Path):
    stopped = stop_endpoint("iris")
    assert (stopped.status, stopped.version, stopped.desired_version) == ("Stopped", None, None)
    until(lambda: children(house) == [])
    status, headers, answer = ask(iris.url, "/invocations", BODY)
    assert (status, headers["X-Model-Name"]) == (503, "iris")
    assert "stopped" in json.loads(answer)["error"]
    assert prefect_ml.deploy_endpoint("iris", 1).url == iris.url
    assert ask(iris.url, "/ping")[0] == 200


def test_an_agent_that_is_asked_to_end_leaves_nothing_running(
    iris: prefect_ml.serving.Endpoint, house: Path, agent: list[subprocess.Popen[str]], agents: Any
):
    pid = only_child(house)
    agent[0].terminate()
    assert agent[0].wait(60) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)
    ended = prefect_ml.get_endpoint("iris")
    assert (ended.status, ended.version, ended.desired_version) == ("Stopped", None, 1)
    agent[0] = agents()
    until(lambda: prefect_ml.get_endpoint("iris").status == "Ready")
    assert load_settings().endpoints == house / "endpoints"


def test_only_the_last_of_many_wishes_is_fulfilled(iris: prefect_ml.serving.Endpoint, second: int, house: Path):
    for version in (second, 1, second, 1, second):
        set_desired("iris", "Production", version, event_id=new_id())
        time.sleep(0.6)
    assert await_rollout("iris", "Production", second, timeout=60).version == second
    only_child(house)
    assert ask(iris.url, "/version")[1]["X-Model-Version"] == str(second)


def test_a_rollback_serves_the_version_promoted_before(iris: prefect_ml.serving.Endpoint, second: int):
    with pytest.raises(ServingError, match="no other version"):
        prefect_ml.rollback_endpoint("iris")
    for version in (1, second):
        event = prefect_ml.promote("iris", version, to="Production")
        set_desired("iris", "Production", version, event_id=event.id)
    assert await_rollout("iris", "Production", second, timeout=60).version == second
    assert prefect_ml.rollback_endpoint("iris").version == 1
    assert ask(iris.url, "/version")[1]["X-Model-Version"] == "1"


def test_a_bento_that_was_tampered_with_is_not_served(iris: prefect_ml.serving.Endpoint, second: int):
    prefect_ml.deploy_endpoint("iris", 1)
    bento = prefect_ml.build_bento("iris", second)
    changed = Path(bento.uri) / "src" / "prefect_ml_scoring" / "service.py"
    original = changed.read_text()
    changed.write_text(original + "\nimport os\n")
    try:
        with pytest.raises(RolloutFailed, match=r"service\.py"):
            prefect_ml.deploy_endpoint("iris", second)
    finally:
        changed.write_text(original)
    assert ask(iris.url, "/version")[1]["X-Model-Version"] == "1"
