"""The compare page as people see it: in a real browser, with many runs and few, odd values and odd names."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import kruskal, spearmanr
from websockets.sync.client import ClientConnection, connect

from prefect_ml import compare_runs, log_metric, log_metrics, log_params, set_tag, start_run
from prefect_ml.store import Store

_MEGABYTE = 1_000_000
_HOSTILE = "</script><script>window.hacked = 1</script>"
_NAMES = [
    _HOSTILE,
    "<img src=x onerror='window.hacked = 2'>",
    "точность",
    "損失 関数",
    "خسارة",
    'a"b&amp;c',
    "__proto__",
    "%{x} {{data}}",
    "42",
    "x" * 300,
]


class Page:
    """A page in a browser, driven through the DevTools protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = iter(range(1, 100_000))
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def evaluate(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        deadline = time.monotonic() + 30
        while not (found := self.evaluate(script)):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.02)
        return found

    def show(self, file: Path) -> Page:
        self.events.clear()
        self.call("Page.navigate", url=file.as_uri())
        self.until("document.querySelectorAll('section').length === 5 && !!document.querySelector('tr.names')")
        return self

    def draw_all(self) -> None:
        """Draw every section, as printing does."""
        self.evaluate("window.dispatchEvent(new Event('beforeprint'))")

    def complaints(self) -> list[Any]:
        bad = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [event for event in self.events if event["method"] in bad]

    def requested(self) -> set[str]:
        sent = [one["params"]["request"]["url"] for one in self.events if one["method"] == "Network.requestWillBeSent"]
        return {url.partition(":")[0] for url in sent}

    def column(self, name: str) -> list[str]:
        names = self.evaluate("[...document.querySelectorAll('tr.names th')].map((cell) => cell.title)")
        place = names.index(name) + 1
        return self.evaluate(
            f"[...document.querySelectorAll('tbody tr td:nth-child({place})')].map((cell) => cell.textContent)"
        )

    def sort_by(self, name: str) -> list[str]:
        self.evaluate(
            f"[...document.querySelectorAll('tr.names th')].find((one) => one.title === {json.dumps(name)}).click()"
        )
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self.column(name)

    def press(self, text: str) -> None:
        self.evaluate(f"[...document.querySelectorAll('button')].find((one) => one.textContent === {text!r}).click()")

    def set(self, selector: str, value: str, event: str = "input") -> None:
        self.evaluate(
            f"(() => {{ const one = document.querySelector({selector!r}); one.value = {json.dumps(value)};"
            f" one.dispatchEvent(new Event({event!r})); }})()"
        )


@pytest.fixture(scope="module")
def browser(need: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    profile = tmp_path_factory.mktemp("browser")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
    command = [
        need("chromium"), *options, f"--user-data-dir={profile}", "--remote-debugging-port=0",
        "--window-size=1400,900", "--hide-scrollbars", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = _port(profile / "DevToolsActivePort", process)
        import httpx

        target = next(
            one for one in httpx.get(f"http://127.0.0.1:{port}/json", timeout=30).json() if one["type"] == "page"
        )
        with connect(target["webSocketDebuggerUrl"], max_size=None, open_timeout=30) as socket:
            yield Page(socket)
    finally:
        process.kill()
        process.wait()


def _port(file: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and file.read_text().strip():
            return file.read_text().splitlines()[0]
        time.sleep(0.05)
    pytest.fail("the browser did not start")


def _fill(count: int, steps: int) -> None:
    for number in range(count):
        odd = _NAMES[number % len(_NAMES)]
        with start_run(experiment=f"page {count}", name=odd if number % 3 == 0 else f"run {number}"):
            log_params(
                {"alpha": 10 ** -(number % 7), "layers": number % 4, "kind": odd, "seed": 7, _HOSTILE: number % 2}
            )
            if number % 2:
                log_params({"sometimes": f"v{number % 3}", "__proto__": number})
            set_tag("team", odd)
            for step in range(steps):
                value = math.exp(-step * (number % 7 + 1) / 10) + (number % 4) / 10
                log_metrics({"loss": value, _HOSTILE: step, "точность": 1 - value}, step=step * 10)
            log_metrics({"spiky": math.nan}, step=0)
            log_metrics({"spiky": math.inf if number % 2 else 1.0}, step=1)
            log_metric("final", [math.nan, math.inf, -math.inf, -2.5, 1.7e308][number % 5])
            if number % 5 == 0:
                log_metric("rare", number)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page of 200 runs and the page of 5."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        for key in [key for key in os.environ if key.startswith(("PREFECT_ML_", "PREFECT_API"))]:
            patch.delenv(key)
        patch.setenv("PREFECT_ML_HOME", str(folder / "home"))
        _fill(200, 12)
        _fill(5, 30)
        compare_runs(experiments=["page 200"], limit=300).save(folder / "many.html")
        compare_runs(experiments=["page 5"]).save(folder / "few.html")
    return folder


@pytest.fixture
def many(pages: Path) -> Path:
    return pages / "many.html"


@pytest.fixture
def few(pages: Path) -> Path:
    return pages / "few.html"


def _data(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_two_hundred_runs(many: Path, browser: Page) -> None:
    html = many.read_text()
    assert len(html) - len(re.findall(r"<script>.*?</script>", html, re.DOTALL)[0]) < 10 * _MEGABYTE
    page = browser.show(many)
    page.draw_all()
    page.until("document.querySelectorAll('#curves .chart').length === 6")
    page.until("document.querySelectorAll('#parallel path.run').length === 200")
    assert page.evaluate("document.querySelectorAll('tbody tr').length") == 200
    assert page.evaluate("document.title") == "200 runs of page 200"
    assert page.evaluate("typeof window.hacked") == "undefined"
    assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert page.complaints() == []
    assert page.requested() <= {"file", "data", "blob"}
    names = page.column("Run")
    for odd in _NAMES:
        assert any(name.startswith(odd) for name in names)


def test_the_table_sorts_with_what_is_no_number_last(many: Path, browser: Page) -> None:
    page = browser.show(many)
    up = page.sort_by("final")
    assert up == [*["-Infinity"] * 40, *["-2.5"] * 40, *["1.7e308"] * 40, *["Infinity"] * 40, *["NaN"] * 40]
    down = page.sort_by("final")
    assert (down[0], down[-1]) == ("Infinity", "NaN")
    rare = page.sort_by("rare")
    assert [int(cell) for cell in rare[:40]] == list(range(0, 200, 5))
    assert set(rare[40:]) == {"\N{EN DASH}"}


def test_differences_columns_and_filter(few: Path, browser: Page) -> None:
    page = browser.show(few)
    heads = "[...document.querySelectorAll('tr.names th')].map((cell) => cell.title)"
    assert "seed" not in page.evaluate(heads)
    page.evaluate("document.querySelector('#differences').click()")
    page.until(f"{heads}.includes('seed')")
    groups = page.evaluate("[...document.querySelectorAll('tr.groups th')].map((cell) => cell.textContent)")
    assert groups[:3] == ["", "Params", "Metrics"]
    params = page.evaluate(heads)[1:]
    assert params.index("kind") < params.index("seed")
    page.evaluate(
        "[...document.querySelectorAll('.popover label')].find((one) => one.textContent === 'kind').firstChild.click()"
    )
    page.until(f"!{heads}.includes('kind')")
    page.set("#filter", "layers>=3")
    page.until("document.querySelectorAll('tbody tr').length === 1")
    assert page.evaluate("document.querySelector('#shown').textContent") == "1 of 5 runs shown"
    page.set("#filter", "точность")
    page.until("document.querySelectorAll('tbody tr').length === 1")
    page.set("#filter", "nothing like it")
    page.until("!!document.querySelector('#table .empty')")


def test_a_click_hides_a_run_everywhere(few: Path, browser: Page) -> None:
    page = browser.show(few)
    page.draw_all()
    lines = "document.querySelector('#curves .plot').data.length"
    page.until(f"{lines} === 5")
    page.evaluate("document.querySelector('tbody tr').click()")
    page.until(f"{lines} === 4")
    page.until("document.querySelectorAll('#parallel path.run').length === 4")
    assert page.evaluate("document.querySelector('tbody tr').classList.contains('off')")
    page.press("Invert")
    page.until(f"{lines} === 1")
    page.press("Show all")
    page.until(f"{lines} === 5")
    page.evaluate("document.querySelectorAll('tbody tr')[2].dispatchEvent(new MouseEvent('click', {shiftKey: true}))")
    page.until(f"{lines} === 1")


def test_pointing_at_a_run_brings_it_forward(few: Path, browser: Page) -> None:
    page = browser.show(few)
    page.draw_all()
    page.until("document.querySelectorAll('#parallel path.run').length === 5")
    page.evaluate("document.querySelectorAll('tbody tr')[2].dispatchEvent(new MouseEvent('mouseenter'))")
    lit = "[...document.querySelectorAll('.quiet .lit')].map((one) => one.dataset.run ?? one.__data__[0].trace.meta)"
    found = page.evaluate(lit)
    assert len(found) > 2
    assert {int(one) for one in found} == {2}
    page.evaluate("document.querySelectorAll('tbody tr')[2].dispatchEvent(new MouseEvent('mouseleave'))")
    assert page.evaluate("document.querySelectorAll('.quiet').length") == 0


def test_curves_have_smoothing_scales_and_axes(few: Path, browser: Page) -> None:
    page = browser.show(few)
    page.draw_all()
    page.set("#metrics", "LOSS")
    page.until("document.querySelectorAll('#curves .chart').length === 1")
    plot = "document.querySelector('#curves .plot')"
    raw = page.evaluate(f"{plot}.data[0].y")
    assert page.evaluate(f"{plot}.data[0].x") == list(range(0, 300, 10))
    page.press("Log scale")
    page.until(f"{plot}.layout.yaxis.type === 'log'")
    page.set("#smoothing", "0.9")
    page.until(f"{plot}.data.length === 10")
    smooth = page.evaluate(f"{plot}.data[5].y")
    assert smooth[0] == pytest.approx(raw[0])
    assert smooth[1] == pytest.approx((raw[0] * 0.9 + raw[1]) / 1.9)
    page.press("Relative time")
    page.until(f"{plot}.layout.xaxis.title.text === 'Relative time (seconds)'")
    assert all(0 <= x < 600 for x in page.evaluate(f"{plot}.data[0].x"))
    page.press("Wall time")
    page.until(f"{plot}.layout.xaxis.title.text === 'Wall time'")
    assert page.evaluate(f"{plot}._fullLayout.xaxis.type") == "date"
    page.press("Step")
    page.set("#smoothing", "0")
    page.set("#metrics", "spiky")
    page.until("document.querySelector('#curves .chart').textContent.includes('7 points not finite')")
    assert page.complaints() == []


def test_what_cannot_be_drawn_is_said(store: Store, tmp_path: Path, browser: Page) -> None:
    for number in range(2):
        with start_run(experiment="odd"):
            log_params({"alpha": number, "kind": f"<i>{'long ' * 40}{number}</i>"})
            for step, value in enumerate((math.nan, math.inf, -math.inf)):
                log_metrics({"nowhere": value, "below": -step, "lonely": math.nan if step % 2 else step}, step=step)
            log_metrics({"once": math.nan, "huge": [1.79e308, 2.0][number]})
    page = browser.show(compare_runs(experiments=["odd"]).save(tmp_path / "odd.html"))
    page.draw_all()
    charts = (
        "Object.fromEntries([...document.querySelectorAll('#curves .chart')].map((one) =>"
        " [one.dataset.metric, (one.querySelector('.empty') ?? one.querySelector('.field')).textContent]))"
    )
    page.until("document.querySelectorAll('#curves .chart').length === 5")
    shown = page.evaluate(charts)
    assert list(shown) == ["below", "lonely", "huge", "nowhere", "once"]
    assert shown["nowhere"] == "Nothing to draw: NaN 2 times, Infinity 2 times, -Infinity 2 times."
    assert shown["once"] == "Nothing to draw: NaN 2 times."
    assert shown["huge"] == "1 point too large to draw"
    assert page.evaluate("document.querySelectorAll('#curves .plot')[1].data[0].marker.size") == [6, 0, 6]
    page.press("Log scale")
    page.until(f"({charts}).below.startsWith('No value is above 0')")
    page.evaluate("document.querySelector('#relations').scrollIntoView({ behavior: 'instant' })")
    page.set("#parallel select", "metrics.below", "change")
    page.set("#relations select", "params.kind", "change")
    names = page.until(
        "document.querySelector('#relations .plot')?.layout?.xaxis.ticktext?.length === 2"
    ) and page.evaluate("document.querySelector('#relations .plot').layout.xaxis.ticktext")
    assert [(name[:4], name[-11:]) for name in names] == [("&lt;", f"{number}&lt;/i&gt;") for number in range(2)]
    assert page.complaints() == []


def test_the_legend_names_every_run_when_asked(many: Path, browser: Page) -> None:
    page = browser.show(many)
    page.draw_all()
    keys = "document.querySelectorAll('.legend .key').length"
    page.until(f"{keys} === 12")
    page.press("Show all 200")
    assert page.evaluate(keys) == 200
    labels = page.evaluate("[...document.querySelectorAll('.legend .key')].map((one) => one.textContent)")
    assert len(set(labels)) == 200
    assert page.evaluate("document.querySelector('.legend').clientHeight") < 160
    page.evaluate("document.querySelector('.legend .key').click()")
    page.until(f"{keys} === 199")
    page.press("Show 12 only")
    assert page.evaluate(keys) == 12


@pytest.mark.parametrize("wide", [800, 1280])
def test_labels_do_not_lie_on_each_other(many: Path, browser: Page, wide: int) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=wide, height=900, deviceScaleFactor=1, mobile=False)
    try:
        page = browser.show(many)
        page.draw_all()
        page.until("document.querySelectorAll('#parallel path.run').length === 200")
        boxes = page.evaluate(
            "[...document.querySelectorAll('#parallel .tick, #parallel .name')].map((one) => one.getBBox())"
            ".map((box) => [box.x, box.y + 3, box.x + box.width, box.y + box.height - 3])"
        )
        assert len(boxes) > 15
        for place, one in enumerate(boxes):
            assert one[0] >= 0
            for other in boxes[:place]:
                assert max(one[0], other[0]) >= min(one[2], other[2]) or max(one[1], other[1]) >= min(one[3], other[3])
        assert page.evaluate("document.documentElement.scrollWidth") <= wide
        assert page.evaluate("document.querySelector('.parallel').scrollWidth") <= wide
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")


def test_relations_and_colours(many: Path, browser: Page) -> None:
    page = browser.show(many)
    page.evaluate("document.querySelector('#relations').scrollIntoView({ behavior: 'instant' })")
    plot = "document.querySelector('#relations .plot')"
    page.until(f"{plot}?.data?.length === 200 && {plot}.data[0].type === 'scatter'")
    page.set("#relations select", "params.layers", "change")
    page.evaluate(
        "(() => { const one = document.querySelectorAll('#relations select')[1]; one.value = 'params.alpha';"
        " one.dispatchEvent(new Event('change')); })()"
    )
    page.set("#parallel select", "metrics.loss", "change")
    page.press("Contour")
    page.until(f"{plot}?.data?.[0].type === 'contour'")
    known = [z for row in page.evaluate(f"{plot}.data[0].z") for z in row if z is not None]
    assert known
    assert all(0 < z < 1.5 for z in known)
    page.press("Box")
    page.until(f"{plot}?.data?.length === 4 && {plot}.data[0].type === 'box'")
    page.set("#colour", "params.layers", "change")
    page.until("new Set([...document.querySelectorAll('tbody tr')].map((row) => row.style.cssText)).size === 4")
    assert page.complaints() == []


def test_parallel_coordinates_pick_runs(many: Path, browser: Page) -> None:
    page = browser.show(many)
    page.draw_all()
    page.until("document.querySelectorAll('#parallel path.run').length === 200")
    titles = page.evaluate("[...document.querySelectorAll('#parallel .name title')].map((one) => one.textContent)")
    assert "kind" in titles
    assert "sometimes" in titles
    assert page.evaluate(
        "[...document.querySelectorAll('#parallel text')].some((one) => one.textContent === 'missing')"
    )
    picked = page.evaluate(
        """(() => {
          const titles = [...document.querySelectorAll('#parallel .name title')].map((one) => one.textContent);
          const grab = document.querySelectorAll('#parallel .grab')[titles.indexOf('layers')];
          grab.setPointerCapture = () => {};
          const frame = grab.ownerSVGElement.getBoundingClientRect();
          const at = (share) => frame.top + (330 - share * 290) / 380 * frame.height;
          const send = (kind, share) => grab.dispatchEvent(new PointerEvent(kind, { clientY: at(share) }));
          send('pointerdown', 1); send('pointermove', 0.9); send('pointerup', 0.9);
          return document.querySelectorAll('#parallel path.run:not(.out)').length;
        })()"""
    )
    assert picked == 50
    assert "50 of 200 picked" in page.evaluate("document.querySelector('#parallel-note').textContent")


def test_importance_is_what_it_says(store: Store, tmp_path: Path, browser: Page) -> None:
    rows = [
        (10.0 ** -(i % 4), ["a", "b", "c"][i % 3], i * 7919 % 24, (i % 4) * 2 + (i * 31 % 7) / 10) for i in range(24)
    ]
    for alpha, kind, noise, score in rows:
        with start_run(experiment="importance"):
            log_params({"alpha": alpha, "kind": kind, "noise": noise, "text": f"t{noise}"})
            log_metric("score", score)
    page = browser.show(compare_runs(experiments=["importance"]).save(tmp_path / "importance.html"))
    page.draw_all()
    page.until("document.querySelectorAll('.importance .row').length === 5")
    shown = {
        row[0]: row[1:]
        for row in page.evaluate(
            "[...document.querySelectorAll('.importance .row')].map("
            "(row) => [...row.children].map((one) => one.textContent))"
        )
    }
    for name, place in (("alpha", 0), ("kind", 1)):
        values = sorted({row[place] for row in rows})
        groups = [[row[3] for row in rows if row[place] == value] for value in values]
        expected = max(0.0, (kruskal(*groups).statistic - len(groups) + 1) / (24 - len(groups)))
        assert float(shown[name][1]) == pytest.approx(expected, abs=0.006)
    rho = spearmanr([row[0] for row in rows], [row[3] for row in rows]).statistic
    assert float(shown["alpha"][2].replace("\N{MINUS SIGN}", "-")) == pytest.approx(rho, abs=0.006)
    assert shown["kind"][2] == "text"
    assert shown["text"][0] == "nearly every run has its own value"


def test_few_runs_are_not_weighed(few: Path, browser: Page) -> None:
    page = browser.show(few)
    page.draw_all()
    assert "Too few runs: 5" in page.until("document.querySelector('#importance .empty')?.textContent")
    assert page.complaints() == []


def test_light_and_dark(few: Path, browser: Page) -> None:
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    page = browser.show(few)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(16, 19, 26)"
    page.evaluate("document.querySelector('#theme').click()")
    assert page.evaluate(ground) == "rgb(245, 246, 249)"
    browser.call("Emulation.setEmulatedMedia", features=[])


def test_runs_with_nothing_to_compare(store: Store, tmp_path: Path, browser: Page) -> None:
    with start_run(name="bare"):
        pass
    page = browser.show(compare_runs().save(tmp_path / "bare.html"))
    page.draw_all()
    assert "These runs have no metrics." in page.until("document.querySelector('#curves .empty')?.textContent")
    assert page.evaluate("document.querySelectorAll('tbody tr').length") == 1
    assert page.complaints() == []
