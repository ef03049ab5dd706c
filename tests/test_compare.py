"""Runs beside each other, as records: what the page is given, the markdown, and in what two runs differ."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from prefect_ml import compare_runs, diff_runs, get_run, log_metric, log_params, search_runs, start_run
from prefect_ml.errors import ArtifactError, FilterError, RunNotFound, TrackingError
from prefect_ml.reports import Comparison, diff_as_json
from prefect_ml.store import Store
from prefect_ml.store.run_artifacts import list_artifacts

NAN, INF = float("nan"), float("inf")


def _track(name: str, params: dict[str, object], metrics: dict[str, list[float]]) -> str:
    with start_run(experiment="compare", name=name) as run:
        log_params(params)
        for metric, values in metrics.items():
            for step, value in enumerate(values):
                log_metric(metric, value, step=step)
    return run.id


@pytest.fixture
def pair(store: Store) -> tuple[str, str]:
    first = _track("first", {"alpha": 0.1, "net": "<b>", "seed": 7}, {"loss": [3, NAN, 1], "odd": [NAN], "same": [1]})
    second = _track("second", {"alpha": 1e-05, "net": "b", "deep": True, "seed": 7}, {"loss": [2, INF], "same": [1]})
    return first, second


def _data(comparison: Comparison) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', comparison.html, re.DOTALL)
    assert found
    return json.loads(found[1])


def _column(data: dict[str, Any], group: str, name: str) -> dict[str, Any]:
    return next(one for one in data["columns"] if (one["group"], one["name"]) == (group, name))


def test_the_page_is_given_what_was_tracked(pair: tuple[str, str]) -> None:
    data = _data(compare_runs(pair))
    assert [run["id"] for run in data["runs"]] == list(pair)
    assert _column(data, "params", "alpha") == {
        "group": "params", "name": "alpha", "numeric": True, "differs": True, "cells": [0.1, 1e-05],
    }  # fmt: skip
    assert _column(data, "params", "deep")["cells"] == [None, "True"]
    assert _column(data, "params", "seed")["differs"] is False
    loss = _column(data, "metrics", "loss")
    assert (loss["cells"], loss["lows"], loss["highs"]) == ([1.0, "Infinity"], [1.0, 2.0], [3.0, "Infinity"])
    assert _column(data, "metrics", "odd")["cells"] == ["NaN", None]
    assert data["curves"]["loss"][0]["values"] == [3.0, "NaN", 1.0]
    assert data["curves"]["loss"][0]["steps"] == [[0, 1], [1, 2]]
    params = [one["name"] for one in data["columns"] if one["group"] == "params"]
    assert params.index("net") < params.index("seed")


def test_values_keep_what_they_are(store: Store) -> None:
    run_ids = [_track(f"run {i}", {"id": 10**18 + i, "float": 0.1 + 0.2, "zero": f"00{i}"}, {}) for i in range(2)]
    data = _data(compare_runs(run_ids))
    assert _column(data, "params", "id")["cells"] == ["1000000000000000000", "1000000000000000001"]
    assert _column(data, "params", "float")["cells"] == [0.1 + 0.2] * 2


def test_the_page_loads_nothing(pair: tuple[str, str]) -> None:
    html = compare_runs(pair).html
    ours = re.sub(r"<script>/\*.*?</script>", "", html, count=1, flags=re.DOTALL)  # plotly names its own addresses
    assert not re.search(r"https?://(?!www\.w3\.org/)", ours)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "script-src 'sha256-" in policy[1]
    assert "connect-src" not in policy[1]


def test_runs_are_named_or_found(pair: tuple[str, str], tmp_path: Path) -> None:
    first, second = pair
    assert [run.id for run in compare_runs([get_run(second), first, first]).runs] == [second, first]
    assert [run.id for run in compare_runs(filter="params.alpha < 0.01").runs] == [second]
    assert [run.id for run in compare_runs(experiments=["compare"], limit=1).runs] == [second]
    table = compare_runs(pair, output=tmp_path / "new" / "page.html").to_pandas()
    assert list(table["params.alpha"]) == ["0.1", "1e-05"]
    assert (tmp_path / "new" / "page.html").read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(RunNotFound):
        compare_runs([first, "nobody"])
    with pytest.raises(TrackingError, match="No run matches"):
        compare_runs(filter="name = 'nothing'")
    with pytest.raises(FilterError):
        compare_runs(filter="metrics.")
    with pytest.raises(ArtifactError, match="choose another path"):
        compare_runs(pair).save("/proc/nowhere/page.html")


def test_a_notebook_shows_the_page_in_a_frame(pair: tuple[str, str]) -> None:
    comparison = compare_runs(pair)
    frame = comparison._repr_html_()
    found = re.fullmatch(r'<iframe srcdoc="([^"]*)" style="[^"]*"></iframe>', frame)
    assert found
    assert unescape(found[1]) == comparison.html


def test_markdown_for_where_no_script_runs(pair: tuple[str, str]) -> None:
    report = compare_runs(pair).report
    lines = report.markdown.splitlines()
    assert "| Run | alpha | deep | net | loss | odd |" in "\n".join(line[:44] for line in lines)
    assert any(line.startswith("| first | 0.1 |  | \\<b\\> | 1 | NaN |") for line in lines)
    assert any(line.startswith("| second | 1e-05 | True | b | Infinity |  |") for line in lines)
    images = re.findall(r"!\[loss\]\(data:image/svg\+xml;base64,([^)]+)\)", report.markdown)
    assert len(images) == 1
    svg = ET.fromstring(base64.b64decode(images[0]))
    strokes = {group.get("stroke") for group in svg.iter("{http://www.w3.org/2000/svg}g")}
    assert len(strokes) == 2
    assert report.description.startswith("**2 runs of compare**")
    assert "![loss]" in report.description


def test_the_open_run_keeps_the_page(pair: tuple[str, str]) -> None:
    with start_run(name="analysis") as run:
        compare_runs(pair)
        compare_runs(list(reversed(pair)))
    kept = [one.path for one in list_artifacts(run.id, "comparisons")]
    assert len(kept) == 2
    assert all(re.fullmatch(r"comparisons/2-runs-[0-9a-f]{8}\.html", path) for path in kept)


def test_in_what_two_runs_differ(pair: tuple[str, str]) -> None:
    diff = diff_runs(*pair)
    assert [(one.kind, one.name, one.a, one.b) for one in diff.causes] == [
        ("param", "alpha", "0.1", "1e-05"),
        ("param", "deep", None, "True"),
        ("param", "net", "<b>", "b"),
    ]
    assert [(one.name, one.note) for one in diff.effects] == [("loss", "not finite"), ("odd", "only in a")]
    assert "3 params" in diff.summary
    assert diff_as_json(diff)["effects"][0] == {
        "kind": "metric", "name": "loss", "a": 1.0, "b": "Infinity", "note": "not finite",
    }  # fmt: skip
    assert list(diff.to_pandas()["kind"]) == ["param"] * 3 + ["metric"] * 2
    assert "&lt;b&gt;" in diff._repr_html_()
    with pytest.raises(RunNotFound):
        diff_runs(pair[0], "nobody")


def test_the_largest_effect_comes_first_and_chance_is_named(store: Store) -> None:
    first = _track("first", {"seed": 1}, {"loss": [2.0], "accuracy": [0.5], "zero": [0.0]})
    second = _track("second", {"seed": 1}, {"loss": [1.0], "accuracy": [0.55], "zero": [0.1]})
    diff = diff_runs(first, second)
    assert [one.note for one in diff.effects] == ["+0.1", "-1 (-50.00%)", "+0.05 (+10.00%)"]
    assert diff.causes == ()
    assert "is every seed fixed?" in diff.summary
    assert diff_runs(first, first).summary == "The two runs agree in everything that was recorded."


def test_code_and_its_local_changes_come_first(home: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    script = repository / "train.py"
    text = (
        "from prefect_ml import track, log_param, current_run\n"
        "@track\ndef f(): log_param('a', %d); return current_run().id\nprint(f())\n"
    )

    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", *identity, *words]
        return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout.strip()

    def train() -> str:
        command = [sys.executable, "train.py"]
        return subprocess.run(
            command, cwd=repository, check=True, capture_output=True, text=True, timeout=60
        ).stdout.strip()

    git("init", "-q")
    script.write_text(text % 1)
    git("add", ".")
    git("commit", "-qm", "first")
    clean, commit = train(), git("rev-parse", "HEAD")
    script.write_text(text % 2)
    dirty = train()
    script.write_text(text % 3)
    dirtier = train()
    git("commit", "-qam", "second")
    committed = train()
    kinds = [(one.kind, one.name) for one in diff_runs(clean, dirty).causes]
    assert kinds == [("code", "local changes"), ("param", "a")]
    both = diff_runs(dirty, dirtier)
    assert both.causes[0].kind == "code"
    assert both.causes[0].a != both.causes[0].b
    moved = diff_runs(clean, committed).causes[0]
    assert (moved.name, moved.a) == ("commit", commit)
    assert len(search_runs("")) == 4


_SCRIPT = """
import sys
import pandas as pd
from prefect_ml import log_dataset, start_run
with start_run(experiment="around", name=sys.argv[1]) as run:
    rows = int(sys.argv[1])
    log_dataset(pd.DataFrame({"x": range(rows)} | ({"y": 1} if rows > 3 else {})), name="wine", role="training")
print(run.id)
"""


def test_data_and_packages_are_compared(home: Path, tmp_path: Path) -> None:
    def train(rows: int, **versions: str) -> str:
        site = tmp_path / f"site {rows}"
        for name, version in versions.items():
            about = site / f"{name}-{version}.dist-info"
            about.mkdir(parents=True)
            (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        environ = {**os.environ, "PYTHONPATH": str(site)}
        command = [sys.executable, "-c", _SCRIPT, str(rows)]
        ended = subprocess.run(
            command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    first, second = (
        train(3, patched="1.0.1", minor="1.0", major="1.9"),
        train(4, patched="1.0.2", minor="1.1", major="2.0"),
    )
    diff = diff_runs(first, second)
    (data,) = (one for one in diff.causes if one.kind == "dataset")
    assert (data.name, data.note) == ("wine (training)", "3 \N{RIGHTWARDS ARROW} 4 rows; column y added")
    packages = [(one.name, one.a, one.b) for one in diff.causes if one.kind == "environment"]
    assert packages == [("major", "1.9", "2.0"), ("minor", "1.0", "1.1"), ("patched", "1.0.1", "1.0.2")]
    columns = {(one.group, one.name): one for one in compare_runs([first, second]).columns}
    assert columns["datasets", "wine (training)"].differs
    assert columns["environment", "packages"].differs
    assert not columns["environment", "Python"].differs
