"""`prefect-ml up`, `down` and `status`, by the command line and with real servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

FIELDS = {"prefect_api_url", "prefect_ui_url", "store_url", "worker", "agent", "endpoints", "outbox_backlog"}
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def status(laptop) -> dict:
    answer = laptop.run("status", "--json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def pids(laptop) -> dict:
    services = laptop.home / "services"
    return {name: json.loads((services / f"{name}.json").read_text())["pid"] for name in ("prefect", "worker", "agent")}


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_status_says_where_everything_is(laptop):
    found = status(laptop)
    assert set(found) == FIELDS
    assert found["prefect_api_url"] == laptop.api_url
    assert found["prefect_api_url"] == found["prefect_ui_url"] + "/api"
    assert found["store_url"] == f"sqlite:///{laptop.home}/store.db"
    assert found["worker"]["pid"] == pids(laptop)["worker"]
    assert found["agent"]["pid"] == pids(laptop)["agent"]
    assert isinstance(found["endpoints"], list)
    assert "runs (process" in laptop.run("status").stdout


def test_the_ui_asks_the_api_that_up_started(laptop):
    settings = httpx.get(status(laptop)["prefect_ui_url"] + "/ui-settings").json()
    assert settings["api_url"] == laptop.api_url


def test_nobody_else_can_read_the_records(laptop):
    for name in ("prefect", "worker", "agent"):
        assert (laptop.home / "services" / f"{name}.json").stat().st_mode & 0o077 == 0
        assert (laptop.home / "services" / f"{name}.log").stat().st_mode & 0o077 == 0


def test_up_deploys_the_flows_with_their_automation(laptop):
    def post(path: str) -> list:
        return httpx.post(f"{laptop.api_url}/{path}/filter", json={}).json()

    own = {one["name"]: one for one in post("deployments") if "prefect-ml" in one["tags"]}
    assert set(own) == {"serve-on-promotion", "relay", "reconcile"}
    assert all(one["pull_steps"] in ([], None) for one in own.values())
    assert all(one["description"] for one in own.values())
    assert own["relay"]["schedules"]
    assert own["reconcile"]["schedules"]
    automations = [one for one in post("automations") if one["name"] == "prefect-ml serve-on-promotion"]
    assert len(automations) == 1


def test_prefect_makes_the_scheduled_runs(laptop):
    wanted = {
        "flows": {"name": {"any_": ["reconcile"]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    deadline = time.monotonic() + 90
    while httpx.post(f"{laptop.api_url}/flow_runs/count", json=wanted).json() == 0:
        assert time.monotonic() < deadline, "Prefect 3.8's scheduler makes no runs where SQLAlchemy is 2.1 or newer"
        time.sleep(0.5)


def test_up_again_leaves_what_runs_alone_also_when_two_do_it_at_once(laptop):
    before = pids(laptop)
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: laptop.run("up"), range(2)))
    assert [answer.returncode for answer in answers] == [0, 0], [answer.stderr for answer in answers]
    assert any("Another `prefect-ml up`" in answer.stderr for answer in answers)
    assert pids(laptop) == before
    automations = httpx.post(f"{laptop.api_url}/automations/filter", json={}).json()
    assert [one["name"] for one in automations].count("prefect-ml serve-on-promotion") == 1


def test_up_starts_a_killed_worker_again(laptop):
    before = pids(laptop)
    os.kill(before["worker"], signal.SIGKILL)
    until(lambda: status(laptop)["worker"] is None)
    assert "does not run" in laptop.run("status").stdout
    answer = laptop.run("up")
    assert answer.returncode == 0, answer.stderr
    after = pids(laptop)
    assert after["worker"] != before["worker"]
    assert (after["prefect"], after["agent"]) == (before["prefect"], before["agent"])
    assert status(laptop)["worker"]["pid"] == after["worker"]


@linux_only
def test_a_taken_port_is_passed_over_and_down_leaves_no_process(bare_laptop):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 4200))
            other.listen()
        except OSError:
            pass  # something else holds it already, which is as good
        answer = bare_laptop.run("up")
    assert answer.returncode == 0, answer.stderr
    found = status(bare_laptop)
    assert httpx.URL(found["prefect_api_url"]).port != 4200
    started = pids(bare_laptop)
    assert set(started.values()) <= set(processes_of(bare_laptop.home))
    os.kill(started["agent"], signal.SIGKILL)  # `down` must also know what the dead ones left behind
    answer = bare_laptop.run("down")
    assert answer.returncode == 0, answer.stderr
    assert processes_of(bare_laptop.home) == []
    assert not list((bare_laptop.home / "services").glob("*.json"))
    found = status(bare_laptop)
    assert (found["prefect_api_url"], found["worker"], found["agent"]) == (None, None, None)
    again = bare_laptop.run("down")
    assert (again.returncode, again.stderr.strip()) == (0, "Nothing runs")


@pytest.mark.heavy
def test_two_homes_that_come_up_at_once_get_a_server_each(bare_laptop, tmp_path: Path):
    other = type(bare_laptop)(tmp_path / "other", {**bare_laptop.environ, "PREFECT_ML_HOME": str(tmp_path / "other")})
    try:
        with ThreadPoolExecutor() as threads:
            ends = list(threads.map(lambda one: one.run("up"), (bare_laptop, other)))
        assert [end.returncode for end in ends] == [0, 0], [end.stderr for end in ends]
        assert bare_laptop.api_url != other.api_url
        for one in (bare_laptop, other):
            answer = httpx.get(
                f"{one.api_url}/block_types/slug/artifact-store/block_documents/name/default", timeout=30
            )
            assert answer.json()["data"]["url"] == f"{one.home}/artifacts"
    finally:
        other.run("down")


def test_a_record_of_another_process_with_the_same_id_ends_nobody(bare_laptop):
    services = bare_laptop.home / "services"
    services.mkdir(parents=True)
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        record = {"pid": bystander.pid, "started": "1", "boot": "another", "stamp": ""}
        (services / "worker.json").write_text(json.dumps(record))
        assert status(bare_laptop)["worker"] is None
        assert bare_laptop.run("down").returncode == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_status_and_down_with_nothing_running(bare_laptop):
    found = status(bare_laptop)
    assert (found["prefect_api_url"], found["worker"], found["agent"], found["endpoints"]) == (None, None, None, [])
    assert bare_laptop.run("down").returncode == 0


def test_a_configured_server_that_does_not_answer(bare_laptop):
    answer = bare_laptop.run("up", PREFECT_API_URL="http://127.0.0.1:1/api")
    assert answer.returncode == 1
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: No Prefect API answers at http://127.0.0.1:1/api")
    assert "PREFECT_API_URL" in last
    assert not list((bare_laptop.home / "services").glob("*.json"))


def test_a_server_that_cannot_start_says_why(bare_laptop):
    nowhere = f"sqlite+aiosqlite:///{bare_laptop.home}/no/such/folder/prefect.db"
    answer = bare_laptop.run("up", PREFECT_SERVER_DATABASE_CONNECTION_URL=nowhere)
    assert answer.returncode == 1
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: The Prefect server ended")
    assert "unable to open database file" in last
    assert "prefect.log" in last
    assert "Traceback" not in answer.stderr


def test_a_home_that_cannot_be_written(bare_laptop, tmp_path: Path):
    (tmp_path / "file").write_text("")
    answer = bare_laptop.run("up", PREFECT_ML_HOME=str(tmp_path / "file" / "home"))
    assert answer.returncode == 1
    assert answer.stderr.startswith("Error: ")
    assert "PREFECT_ML_HOME" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def processes_of(home: Path) -> list[int]:
    """Give the processes that run with this home."""
    wanted = f"PREFECT_ML_HOME={home}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
