"""The report of a run where people look for it: on the flow run's page of a real Prefect server, in a real browser."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

_FLOWS = """
import asyncio, json
from prefect import flow, task
from prefect_ml import compare_runs, current_run, log_metric, set_tag, start_run, track
from prefect_ml.tasks import compare_runs as compare_task, tracked_flow, tracked_task

@tracked_task
def train(alpha: float):
    for step in range(20):
        log_metric("validation accuracy", 0.8125 + step * alpha, step=step)
    set_tag("note", "Tried **once**.")
    return current_run().id

@tracked_task
async def train_async(alpha: float):
    for step in range(20):
        log_metric("loss", alpha / (step + 1), step=step)
    with start_run(name="inner"):
        log_metric("inside", 1)

@task
def plain():
    with start_run(name="in a plain task"):
        log_metric("plain", 2)

@tracked_flow(name="report-sync", experiment="report")
def sync_flow():
    from prefect.runtime import flow_run
    ids = [train(0.0078125)]
    with start_run(name="again"):
        for step in range(20):
            log_metric("validation accuracy", 0.5, step=step)
        ids.append(current_run().id)
    compare_runs(ids)
    compare_task(ids)
    return flow_run.id

@flow(name="report-async")
async def async_flow():
    from prefect.runtime import flow_run
    await train_async(0.5)
    plain()
    return flow_run.id

print(json.dumps([sync_flow(), asyncio.run(async_flow())]))
"""


@pytest.fixture(scope="module")
def flow_runs(laptop: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Ids of the flow runs of a synchronous and an asynchronous flow whose tasks are tracked."""
    script = tmp_path_factory.mktemp("report") / "flows.py"
    script.write_text(_FLOWS)
    environ = {**laptop.environ, "PREFECT_API_URL": laptop.api_url}
    ended = subprocess.run(
        [sys.executable, script],
        env=environ,
        cwd=script.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "was not published" not in ended.stderr
    first, second = json.loads(ended.stdout.splitlines()[-1])
    return first, second


def _artifacts(api_url: str, flow_run_id: str) -> dict[str, dict[str, Any]]:
    """The artifacts of a flow run, by the name of the run that they report."""
    asked = {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}}}
    found = httpx.post(f"{api_url}/artifacts/filter", json=asked, timeout=30).raise_for_status().json()
    return {re.findall(r"\*\*(.*?)\*\*", artifact["description"])[0]: artifact for artifact in found}


def test_every_tracked_run_leaves_one_report(laptop: Any, flow_runs: tuple[str, str]) -> None:
    sync, asynchronous = (_artifacts(laptop.api_url, flow_run) for flow_run in flow_runs)
    assert sorted(sync) == ["2 runs of report", "again", "report-sync", "train"]
    assert sync["report-sync"]["task_run_id"] is None
    assert sync["train"]["task_run_id"]
    assert sorted(asynchronous) == ["in a plain task", "inner", "train_async"]
    assert asynchronous["inner"]["task_run_id"] == asynchronous["train_async"]["task_run_id"]
    assert asynchronous["in a plain task"]["task_run_id"] not in (None, asynchronous["inner"]["task_run_id"])
    report = sync["train"]
    assert (report["type"], report["key"]) == ("markdown", None)
    assert "| validation accuracy | 0.960938 | 0.8125 | 0.960938 | 20 |" in report["data"]
    assert f"/runs/flow-run/{flow_runs[0]}" in report["data"]
    assert "Tried **once**." in report["data"]
    assert re.search(r"comparisons/2-runs-[0-9a-f]{8}\.html", sync["report-sync"]["data"])


def test_a_comparison_in_a_flow_is_on_its_page(laptop: Any, flow_runs: tuple[str, str]) -> None:
    asked = {"artifacts": {"flow_run_id": {"any_": [flow_runs[0]]}}}
    found = httpx.post(f"{laptop.api_url}/artifacts/filter", json=asked, timeout=30).raise_for_status().json()
    compared = [one for one in found if one["description"].startswith("**2 runs of report**")]
    assert sorted(bool(one["task_run_id"]) for one in compared) == [False, True]
    for one in compared:
        assert "![validation accuracy](data:image/svg+xml;base64," in one["description"]
        assert "| Run | alpha | validation accuracy |" in one["data"]


def test_the_report_page_draws_the_family(
    laptop: Any, flow_runs: tuple[str, str], need: Callable[[str], str], tmp_path: Path
) -> None:
    report = _artifacts(laptop.api_url, flow_runs[0])["report-sync"]
    page = laptop.api_url.removesuffix("/api") + f"/v2/artifacts/artifact/{report['id']}"
    dom = _dom_with(need("chromium"), page, "flowchart-run", tmp_path)
    drawn = re.search(r'<svg[^>]*class="flowchart.*?</svg>', dom, re.DOTALL)
    assert drawn
    assert "again" in drawn[0]
    assert "train" in drawn[0]


def test_the_run_page_shows_metrics_and_curve(
    laptop: Any, flow_runs: tuple[str, str], need: Callable[[str], str], tmp_path: Path
) -> None:
    chromium = need("chromium")
    page = laptop.api_url.removesuffix("/api") + f"/v2/runs/flow-run/{flow_runs[0]}?tab=Artifacts"
    dom = _dom_with(chromium, page, "validation accuracy", tmp_path)
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", dom)).split())
    assert "train · validation accuracy 0.9609" in text
    assert re.search(r'<img[^>]* src="data:image/svg\+xml;base64,', dom)


def _dom_with(chromium: str, page: str, text: str, tmp_path: Path) -> str:
    """The page's DOM once it shows `text`: the browser's own clock runs ahead, so a busy machine takes several goes."""
    deadline = time.monotonic() + 180
    for attempt in itertools.count():
        dom = _dom(chromium, page, tmp_path / str(attempt))
        if text in dom or time.monotonic() > deadline:
            return dom
        time.sleep(1)
    raise AssertionError("unreachable")


def _dom(chromium: str, page: str, profile: Path) -> str:
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=20000",
        "--dump-dom",
        page,
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False).stdout
    except subprocess.TimeoutExpired:
        return ""
