"""`prefect-ml runs` for people: lists, plots, comparisons, differences and reports."""

from __future__ import annotations

import json
import math
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from prefect_ml import cli as commands
from prefect_ml import diff_runs, log_metric, log_params, search_runs, set_tag, start_run
from prefect_ml.reports import diff_as_json
from prefect_ml.reports.terminal import plot, sparkline
from prefect_ml.store import metric_history

_PROGRAM = Path(sys.executable).with_name("prefect-ml")
_BLOCKS = "▁▂▃▄▅▆▇█"
Invoke = Callable[..., str]


@pytest.fixture
def invoke() -> Invoke:
    def call(*words: str, env: dict[str, str] | None = None) -> str:
        result = CliRunner().invoke(commands.cli, ["runs", *words], catch_exceptions=False, env=env)
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with three runs, of which one failed and one has a part."""
    home = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        for key in [key for key in os.environ if key.startswith(("PREFECT_ML_", "PREFECT_API"))]:
            patch.delenv(key)
        patch.setenv("PREFECT_ML_HOME", str(home))
        for slope in (1, 2):
            with start_run(experiment="look", name=f"[red]slope {slope}[/red]"):
                log_params({"slope": slope, "seed": 7})
                set_tag("note", "Tried **once**.")
                for step in range(40):
                    log_metric("loss", 40 - step * slope / 2, step=step)
                    log_metric("odd", math.nan if step % 2 else step, step=step)
                with start_run(name="part"):
                    log_metric("loss", 1.5)
        with pytest.raises(ZeroDivisionError), start_run(experiment="other", name="broken"):
            raise ZeroDivisionError
        yield home


@pytest.fixture
def look(filled: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the two runs that can be compared, in a home that the settings name."""
    monkeypatch.setenv("PREFECT_ML_HOME", str(filled))
    return [run.id for run in search_runs("params.seed = 7", order_by=["params.slope"])]


def _in_a_terminal(*words: str, columns: int = 150) -> str:
    """What `prefect-ml runs WORDS` writes to a terminal, without its colours."""
    control, terminal = pty.openpty()
    environ = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"}
    with subprocess.Popen([_PROGRAM, "runs", *words], stdout=terminal, stderr=terminal, env=environ) as process:
        os.close(terminal)
        written = b""
        while chunk := _read(control):
            written += chunk
    os.close(control)
    assert process.returncode == 0, written
    return re.sub(r"\x1b\[[0-9;]*m", "", written.decode()).replace("\r\n", "\n")


def _read(control: int) -> bytes:
    try:
        return os.read(control, 65536)
    except OSError:  # Linux says so where the other side has closed
        return b""


def test_a_terminal_lists_runs_with_their_curves(look: list[str]) -> None:
    lines = _in_a_terminal("list", "--metric", "loss").splitlines()
    assert lines[0].split() == ["Id", "Name", "Experiment", "Status", "Started", "Took", "loss"]
    first = next(line for line in lines if look[0] in line)
    assert "[red]slope 1[/red]" in first
    assert re.search(r"Completed +\d+ (s|min) ago +[\d.]+ s +20\.5 +█", first)
    assert sum(letter in _BLOCKS for letter in first) == 14
    assert any("broken" in line and "Failed" in line for line in lines)
    ordered = _in_a_terminal("list", "-e", "look", "--order-by", "metrics.odd desc").splitlines()
    assert ordered[0].split() == ["Id", "Name", "Status", "Started", "Took", "odd"]


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_a_narrow_terminal_shortens_ids_first(look: list[str], columns: int) -> None:
    listed = _in_a_terminal("list", "--metric", "loss", columns=columns).splitlines()
    first = next(line for line in listed if "slope 1" in line)
    assert all(len(line.rstrip()) <= columns for line in listed)
    shown = first.split()[0]
    assert look[0].startswith(shown)
    assert len(shown) >= 8
    assert [line.split()[0] for line in listed].count(shown) == 1
    assert (shown == look[0]) == (columns == 200)
    head = listed[0].split()
    assert ("Started" in head and "Completed" in first) == (columns >= 60)
    assert ("Experiment" in head and "Took" in head) == (columns >= 80)
    assert any(block in first for block in _BLOCKS) == (columns >= 100)


def test_a_terminal_plots_a_run(look: list[str]) -> None:
    shown = _in_a_terminal("show", look[0])
    assert "loss  20.5" in shown
    assert re.search(r"^ +40 ┤[\u2800-\u28ff]", shown, re.MULTILINE)
    assert re.search(r"^20\.5 ┤[\u2800-\u28ff]", shown, re.MULTILINE)
    assert "20 of 40 points are not finite" in shown


def test_what_is_piped_stays_plain_and_whole(look: list[str], invoke: Invoke) -> None:
    assert invoke("list").splitlines()[0].split() == ["Id", "Name", "Experiment", "Status", "Started", "Metrics"]
    assert all(any(run.id in line for line in invoke("list").splitlines()) for run in search_runs())
    assert invoke("list") == invoke("list", env={"COLUMNS": "20"})
    assert "┤" not in invoke("show", look[0])
    assert "kind" not in invoke("diff", *look)
    assert json.loads(invoke("list", "--json", "--metric", "loss"))


def test_diff_is_the_librarys(look: list[str], invoke: Invoke) -> None:
    assert json.loads(invoke("diff", *look, "--json")) == diff_as_json(diff_runs(*look))
    lines = [line.split() for line in invoke("diff", look[0][:36], look[1]).splitlines()]
    assert ["param", "slope", "1", "2"] in lines
    assert any(line[:4] == ["metric", "loss", "20.5", "1"] for line in lines)
    shown = _in_a_terminal("diff", *look)
    assert shown.index("slope") < shown.index("loss")
    assert "agree in everything" in invoke("diff", look[0], look[0])


def test_compare_writes_a_page(look: list[str], invoke: Invoke, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert invoke("compare", *look, "--output", str(page)) == f"Compared 2 runs of look in {page}\n"
    assert page.read_text().startswith("<!DOCTYPE html>")
    found = invoke("compare", "-e", "look", "--filter", "params.slope = 1", "--limit", "5", "--output", str(page))
    assert found.startswith("Compared 1 run of look")


def test_report_writes_markdown_or_html(look: list[str], invoke: Invoke, tmp_path: Path) -> None:
    markdown = invoke("report", look[0])
    assert "Tried **once**." in markdown
    assert "![loss](data:image/svg+xml;base64," in markdown
    assert "```mermaid" in markdown
    shown = _in_a_terminal("report", look[0])
    assert "Tried once." in shown
    assert "data:image" not in shown
    page = tmp_path / "report.html"
    assert str(page) in invoke("report", look[0], "--output", str(page))
    html = page.read_text()
    assert "<strong>once</strong>" in html
    assert '<img src="data:image/svg+xml;base64,' in html
    assert "mermaid" not in html
    assert "part (Completed)" in html


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("compare nobody", 2, "There is no run 'nobody'"),
        ("compare a --filter name='b'", 2, "not both"),
        ("compare --filter metrics.", 2, "needs a name"),
        ("compare", 1, "nothing to compare"),
        ("diff a", 2, "Missing argument 'B'"),
        ("diff a b", 2, "There is no run 'a'"),
        ("report nobody", 2, "There is no run 'nobody'"),
    ],
)
def test_errors_are_sentences(home: Path, words: str, code: int, sentence: str) -> None:
    ended = subprocess.run([_PROGRAM, "runs", *words.split()], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == code
    assert sentence in ended.stderr.splitlines()[-1]
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([1.0], "▅"),
        ([0.0, 1.0], "▁█"),
        ([0, 1, 2, 3, 4, 5, 6, 7], _BLOCKS),
        ([0.0, math.nan, math.inf, 1.0], "▁··█"),
        ([math.nan], "·"),
        ([-1.7e308, 1.7e308], "▁█"),
    ],
)
def test_sparkline_of_any_values(values: list[float], line: str) -> None:
    assert sparkline(values) == line


def test_plot_of_any_series(look: list[str]) -> None:
    history = metric_history(look[0], "loss")
    lines = plot("a title", history, width=20, height=5).splitlines()
    assert lines[0] == "a title  20.5"
    assert len(lines) == 7
    assert all(len(line) <= 27 for line in lines[1:])
    assert lines[-1].split() == ["0", "39"]
    assert plot("none", metric_history(look[0], "nothing")) == "none  no points"


def test_show_says_what_a_run_failed_with(home: Path, invoke: Invoke) -> None:
    with pytest.raises(ValueError, match="too warm"), start_run() as run:
        raise ValueError("too warm")
    assert re.search(r"Error +ValueError: too warm", invoke("show", run.id))
