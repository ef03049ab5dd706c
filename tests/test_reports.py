"""The report of a run: a pure function from records to markdown, with curves that any XML parser reads."""

from __future__ import annotations

import base64
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from prefect_ml import log_metric, log_param, log_text, set_tag, start_run
from prefect_ml.errors import ArtifactError, RunNotFound, ServiceError
from prefect_ml.reports import Report, publish_run_report, render_run_report, report_of, save_run_report
from prefect_ml.reports.html import report_page
from prefect_ml.reports.run.background import Background
from prefect_ml.store import MetricHistory, Run, Source, Store
from prefect_ml.store.records import RunDataset, RunEnvironment
from prefect_ml.store.reuses import ReusedRun
from prefect_ml.store.run_artifacts import Artifact

_SVG = "{http://www.w3.org/2000/svg}"
_IMAGE = re.compile(r"!\[((?:\\.|[^\]\\])*)\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)")
_TEN_THOUSAND = 10_000


def _history(values: list[float], steps: list[int] | None = None) -> MetricHistory:
    count = np.arange(len(values), dtype=np.int64)
    return MetricHistory(np.array(steps, np.int64) if steps else count, count, np.array(values, np.float64))


def _run(histories: dict[str, MetricHistory], **changes: object) -> Run:
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    fields: dict[str, object] = {
        "id": "0195-run",
        "name": "train",
        "experiment": "digits",
        "status": "Completed",
        "attempt": 1,
        "parent_id": None,
        "params": {"alpha": "0.1"},
        "metrics": {name: float(h.values[-1]) if len(h) else float("nan") for name, h in histories.items()},
        "tags": {"team": "vision"},
        "user": "ada",
        "started_at": began,
        "ended_at": began + timedelta(seconds=75),
        "artifact_uri": "/srv/artifacts/0195-run/1",
        "source": Source("examples/digits", "train.py:train", "3b5d1e0c", True),
    }
    return Run(**{**fields, **changes})  # type: ignore[arg-type]


def _render(histories: dict[str, MetricHistory], **changes: object) -> Report:
    return render_run_report(_run(histories, **changes), histories)


def _curves(markdown: str) -> list[ET.Element]:
    return [ET.fromstring(base64.b64decode(data)) for _, data in _IMAGE.findall(markdown)]


def _texts(svg: ET.Element) -> list[str]:
    return [element.text or "" for element in svg.iter(f"{_SVG}text")]


def _points(svg: ET.Element) -> list[tuple[float, float]]:
    drawn = next(svg.iter(f"{_SVG}g"), None)
    paths = [] if drawn is None else [path.get("d", "") for path in drawn]
    pairs = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", "".join(paths))
    return [(float(x), float(y)) for x, y in pairs]


def test_report_says_what_people_look_for() -> None:
    report = _render({"loss": _history([3.0, 1.0, 2.0])}, parent_id="0195-parent")
    assert report.description.split("\n\n")[:3] == ["**train** · loss **2**", "Completed · 1 min 15 s", "alpha = 0.1"]
    for part in (
        "| loss | 2 | 1 | 3 | 3 |",
        "| alpha | 0.1 |",
        "| team | vision |",
        "3b5d1e0c with local changes",
        "/srv/artifacts/0195-run/1",
        "0195-parent",
        "prefect-ml runs show 0195-run",
    ):
        assert part in report.markdown
    assert [_texts(svg) for svg in _curves(report.description)] == [["loss", "2", "3", "1", "0", "2"]]


def test_links_are_offered() -> None:
    report = render_run_report(_run({}), {}, links={"Flow run": "http://127.0.0.1:4200/runs/flow-run/1"})
    assert "[Flow run](<http://127.0.0.1:4200/runs/flow-run/1>)" in report.markdown


@pytest.mark.parametrize(
    ("values", "steps", "points", "labels"),
    [
        ([0.5], None, 1, ["m", "0.5", "0.5", "0"]),
        ([2.0, 2.0], None, 2, ["m", "2", "2", "0", "1"]),
        ([1.0, float("nan"), 3.0, 4.0], None, 3, ["m", "4", "4", "1", "1 of 4 not finite", "0", "3"]),
        ([1.0, float("inf"), 2.0], None, 2, ["m", "2", "2", "1", "1 of 3 not finite", "0", "2"]),
        ([float("nan")] * 3, None, 0, ["m", "NaN", "3 of 3 not finite", "0", "2"]),
        ([1.0, float("-inf")], None, 1, ["m", "-Infinity", "1", "1 of 2 not finite", "0", "1"]),
        ([-1.7e308, 1.7e308], None, 2, ["m", "1.7e+308", "1.7e+308", "-1.7e+308", "0", "1"]),
        ([5e-324, 0.0], None, 2, ["m", "0", "4.94e-324", "0", "0", "1"]),
        ([1.0, 2.0, 3.0], [7, 7, 7], 3, ["m", "3", "3", "1", "7"]),
        ([1.0, 2.0], [-(2**63), 2**63 - 1], 2, ["m", "2", "2", "1", "-9.22e+18", "9.22e+18"]),
        ([], None, 0, ["m", "no points"]),
    ],
)
def test_curve_of_any_series(values: list[float], steps: list[int] | None, points: int, labels: list[str]) -> None:
    report = _render({"m": _history(values, steps)})
    (svg,) = _curves(report.markdown)
    drawn = _points(svg)
    assert len(drawn) == points
    assert all(0 <= x <= float(svg.get("width", "0")) and 0 <= y <= float(svg.get("height", "0")) for x, y in drawn)
    assert _texts(svg) == labels


def test_a_gap_is_not_drawn_over() -> None:
    (svg,) = _curves(_render({"m": _history([1, 2, float("nan"), 4, 5])}).markdown)
    lines = next(svg.iter(f"{_SVG}g"))[0].get("d", "")
    assert lines.count("M") == 2


def test_a_million_points_stay_small_and_keep_their_spikes() -> None:
    values = np.sin(np.arange(1_000_000) / 50_000)
    values[123_456] = 40.0
    values[654_321] = -40.0
    steps = np.arange(1_000_000, dtype=np.int64)
    report = _render({"m": MetricHistory(steps, steps, values)})
    for svg, (_, data) in zip(
        _curves(report.markdown + report.description), _IMAGE.findall(report.markdown + report.description), strict=True
    ):
        assert len(data) < _TEN_THOUSAND
        assert "40" in _texts(svg)
        assert "-40" in _texts(svg)
    assert "| m | " in report.markdown
    assert "| -40 | 40 | 1000000 |" in report.markdown


@pytest.mark.parametrize("count", [299, 301, 5_000])
def test_noise_with_gaps_stays_below_ten_thousand_bytes(count: int) -> None:
    values = np.random.default_rng(0).normal(size=count)
    values[::3] = np.nan
    report = _render({"noise " * 30: _history(values.tolist())})
    assert all(len(data) < _TEN_THOUSAND for _, data in _IMAGE.findall(report.description + report.markdown))


@pytest.mark.parametrize(
    "name",
    [
        "точность",
        "損失 | 关闭",
        "خسارة",
        "a]b](http://x) <script>alert(1)</script> `c` *d* _e_ ~f~ #g",
        'quote"&amp;<b>',
        "control\x00\x1b[31m\x0b",
        "lone \ud800 surrogate",
        "line\nbreak\r\n| --- |",
        "🎉" * 300,
        "\\",
    ],
)
def test_names_in_any_script_are_shown_and_never_obeyed(name: str) -> None:
    history = {name: _history([1.0, 2.0])}
    report = _render(history, name=name, params={name: name}, tags={name: name}, experiment=name)
    for text in (report.description, report.markdown):
        text.encode()  # Prefect's API takes UTF-8 only
        assert not re.search(r"(?<!\\)<(?!http)", re.sub(r"!\[.*?\]\(data:[^)]*\)", "", text))
    assert len(_curves(report.description)) == 1
    table = [line for line in report.markdown.splitlines() if line.endswith("| 2 | 1 | 2 | 2 |")]
    assert len(table) == 1
    assert len(re.findall(r"(?<!\\)\|", table[0].replace("\\\\", ""))) == 6
    title = next(_curves(report.markdown)[0].iter(f"{_SVG}title")).text or ""
    assert title[:3] == name.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")[:3]


def test_many_metrics_are_cut_and_the_cut_is_said() -> None:
    report = _render({f"m{i:04}": _history([float(i)]) for i in range(250)}, params={f"p{i}": "x" for i in range(300)})
    assert "And 50 more metrics: `prefect-ml runs show 0195-run`." in report.markdown
    assert "And 100 more params" in report.markdown
    assert len(_curves(report.markdown)) == 24


def test_the_machine_has_a_section_of_its_own_and_no_headline() -> None:
    report = _render({"loss": _history([2, 1]), "system/memory/used": _history([5, 6])})
    assert "system" not in report.description
    metrics, machine = report.markdown.split("## System metrics")
    assert "system/memory" not in metrics
    assert "system/memory/used" in machine
    assert "## System metrics" not in _render({"loss": _history([1])}).markdown


def test_each_history_is_read_once() -> None:
    class Counting(dict[str, MetricHistory]):
        reads = 0

        def __getitem__(self, name: str) -> MetricHistory:
            Counting.reads += 1
            return super().__getitem__(name)

    histories = Counting(a=_history([1, 2]), b=_history([3]))
    render_run_report(_run({}), histories)
    assert Counting.reads == 2


def test_a_run_without_metrics_or_end() -> None:
    report = _render({}, ended_at=None, status="Running", params={}, tags={}, source=Source())
    assert report.description == "**train**\n\nRunning"
    assert "No metrics were logged." in report.markdown


def test_publishing_outside_prefect_says_so(store: Store, home: Path) -> None:
    with start_run(name="alone") as run:
        log_param("alpha", 1)
        log_metric("loss", 0.5)
    with pytest.raises(ServiceError, match="belongs to no Prefect run"):
        publish_run_report(run.id)
    with pytest.raises(RunNotFound):
        publish_run_report("nobody")


def _background(**changes: object) -> Background:
    data = RunDataset("wine", "training", "ab" * 32, "pandas", "wine.csv", 1599, (("alcohol", "float64"),))
    fields: dict[str, object] = {
        "datasets": [data],
        "environment": RunEnvironment.of("3.11.7", "Linux x86_64", {"numpy": "2.1.0", "prefect": "3.8.8"}),
        "artifacts": [Artifact("plots/roc.png", 123_456, "cd" * 32), Artifact("a|b.txt", 12, None)],
        "parent": _run({}, name="sweep", id="parent"),
        "children": [_run({}, name='part "1" <b>', id="child", status="Failed")],
        "reused": [ReusedRun("0195-cached", "task-run", "prepare", _run({}).started_at)],
    }
    return Background(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_whole_report_tells_what_lies_around_the_run() -> None:
    source = Source(
        "p", "e", "3b5d", True, "main", "host:repo", "s3://b/c.diff", {"flow": "f", "deployment": "f/nightly"}
    )
    run = _run({}, source=source, tags={"note": "Tried **wider** nets.", "team": "vision"})
    markdown = render_run_report(run, {}, background=_background()).markdown
    for part in (
        "## Notes\n\nTried **wider** nets.",
        "| wine | training | 1599 | alcohol: float64 | `abababababababab` | wine.csv |",
        "| Branch | main |",
        "| Local changes | recorded as s3://b/c.diff |",
        "| Deployment | f/nightly |",
        "| plots/roc.png | 123 kB | `cdcdcdcdcdcdcdcd` |",
        "| a\\|b.txt | 12 B |  |",
        "2 files, 123 kB",
        "| Python | 3.11.7 |",
        "2 packages: numpy 2.1.0, prefect 3.8.8",
        'parent["sweep<br/>Completed"]:::Completed',
        'child0["part #34;1#34; #60;b#62;<br/>Failed"]:::Failed',
        "parent --> run",
        "run --> child0",
        'reused0["prepare<br/>reused from cached"]:::Reused',
        "run -.-> reused0",
        "| team | vision |",
    ):
        assert part in markdown, part
    assert "| note |" not in markdown


def test_artifacts_out_of_reach_are_no_reason_to_have_no_report() -> None:
    markdown = render_run_report(_run({}), {}, background=_background(artifacts=None)).markdown
    assert "They could not be reached" in markdown


def test_a_report_as_html_obeys_no_html() -> None:
    run = _run({"loss": _history([1, 2])}, tags={"note": "<script>alert(1)</script> [x](javascript:alert(1)) **b**"})
    report = render_run_report(run, {"loss": _history([1, 2])}, background=_background(), diagram=False)
    html = report_page("<b>", report.markdown)
    assert "<title>&lt;b&gt;</title>" in html
    assert "<script" not in html
    assert "javascript:alert(1)</a>" not in html
    assert 'href="javascript' not in html
    assert "<strong>b</strong>" in html
    assert '<img src="data:image/svg+xml;base64,' in html
    assert "part &quot;1&quot; &lt;b&gt; (Failed)" in html
    assert "prepare (reused)" in html


def test_what_was_tracked_is_in_the_report(store: Store, tmp_path: Path) -> None:
    with start_run(name="outer") as outer:
        set_tag("note", "a note")
        log_text("hello", "notes/first.md")
        with start_run(name="inner") as inner:
            log_metric("loss", 0.5)
    whole = report_of(outer.id).markdown
    assert "| notes/first.md | 5 B | `2cf24dba5fb0a30e` |" in whole
    assert "inner<br/>Completed" in whole
    assert "a note" in whole
    assert "outer<br/>Completed" in report_of(inner.id).markdown
    page = save_run_report(outer.id, tmp_path / "new" / "report.html")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert save_run_report(outer.id, tmp_path / "report.md").read_text().startswith("# outer: Completed\n")
    with pytest.raises(RunNotFound):
        report_of("nobody")
    with pytest.raises(ArtifactError, match="choose another path"):
        save_run_report(outer.id, "/proc/nowhere/report.md")
