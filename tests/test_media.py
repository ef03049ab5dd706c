"""Figures, images, tables and notes: what goes in comes out again."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from prefect_ml import (
    download_artifacts,
    get_run,
    list_artifacts,
    load_table,
    log_dict,
    log_figure,
    log_image,
    log_metric,
    log_series,
    log_table,
    log_text,
    set_note,
    start_run,
)
from prefect_ml.errors import ArtifactError, NoActiveRun, TrackingError

mpl.use("Agg")
pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def axes() -> Any:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.plot([1, 3, 2])
    return axes


def test_a_figure_of_matplotlib_is_kept_in_the_format_that_its_name_says(axes: Any) -> None:
    with start_run() as run:
        places = [log_figure(axes.figure, name) for name in ("loss.png", "plots/loss.svg", "loss.pdf")]
        log_figure(axes, "axes.png")
    assert [Path(place).read_bytes()[:4] for place in places] == [b"\x89PNG", b"<?xm", b"%PDF"]
    assert [one.path for one in list_artifacts(run.id)] == ["axes.png", "loss.pdf", "loss.png", "plots/loss.svg"]


def test_a_figure_of_plotly_is_a_page_that_needs_no_network_or_json() -> None:
    figure = go.Figure(go.Scatter(y=[1, 3, 2], name="loss"))
    with start_run():
        page, text = log_figure(figure, "loss.html"), log_figure(figure, "loss.json")
    assert "Plotly.newPlot" in Path(page).read_text()
    assert "<script src=" not in Path(page).read_text()
    assert json.loads(Path(text).read_text())["data"][0]["name"] == "loss"


def test_no_figure_or_an_unknown_format_is_refused(axes: Any) -> None:
    with start_run() as run:
        for figure, name, message in (
            (3, "a.png", "not int"),
            (axes.figure, "a.nothing", r"'a\.nothing': .*\.pdf, .*\.png, "),
            (axes.figure, "plots/f", r"'plots/f': .*\.png, "),
            (go.Figure(), "plots/f", r"'plots/f'; .*\.html or \.json"),
        ):
            with pytest.raises(TrackingError, match=message):
                log_figure(figure, name)
        with pytest.raises(ArtifactError):
            log_figure(axes.figure, "../a.png")
    assert list_artifacts(run.id) == []
    with pytest.raises(NoActiveRun):
        log_figure(axes.figure, "a.png")


RANDOM = np.random.default_rng(1)
PIXELS = {
    "grey": RANDOM.integers(0, 256, (7, 5), np.uint8),
    "one channel": RANDOM.integers(0, 256, (7, 5, 1), np.uint8),
    "colour": RANDOM.integers(0, 256, (7, 5, 3), np.uint8),
    "with alpha": RANDOM.integers(0, 256, (7, 5, 4), np.uint8),
    "one pixel": np.full((1, 1), 7, np.uint8),
    "not in a row": RANDOM.integers(0, 256, (9, 9, 3), np.uint8)[::2, ::-1],
}


@pytest.mark.parametrize("kind", PIXELS)
def test_an_array_is_kept_as_png_pixel_by_pixel(kind: str) -> None:
    pixels = PIXELS[kind]
    with start_run():
        exact = log_image(pixels, "exact.png")
        share = log_image((pixels / 255).astype("float32"), "share.png")
        mask = log_image(pixels > 127, "mask.png")
    expected = pixels.squeeze(-1) if pixels.shape[-1] == 1 and pixels.ndim == 3 else pixels
    for place in (exact, share):
        assert np.array_equal(np.asarray(Image.open(place)), expected)
    assert np.array_equal(np.asarray(Image.open(mask)), (expected > 127) * np.uint8(255))


def test_images_of_a_series_files_and_other_formats_are_kept(tmp_path: Path) -> None:
    with start_run() as run:
        for step in (0, 10, 9):
            log_image(PIXELS["colour"], "samples.png", step=step)
        log_image(Image.new("RGB", (3, 3), "red"), "red.png")
        file = log_image(PIXELS["colour"], "photo.jpg")
        log_image(file, "copy/photo.jpg")
    assert [one.path for one in list_artifacts(run.id)] == [
        "copy/photo.jpg", "photo.jpg", "red.png",
        "samples/00000000.png", "samples/00000009.png", "samples/00000010.png",
    ]  # fmt: skip
    assert Image.open(file).format == "JPEG"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 32, 32)), "the shape"),
        (np.zeros((0, 3)), "the shape"),
        (np.full((2, 2), 2.0), "from 0 to 1"),
        (np.full((2, 2), np.nan), "nan"),
        (np.zeros((2, 2), int), "int64"),
        (object(), "the shape"),
    ],
    ids=["channels first", "empty", "above", "NaN", "int", "object"],
)
def test_what_is_no_image_is_refused(image: Any, message: str) -> None:
    with start_run() as run, pytest.raises(TrackingError, match=message):
        log_image(image, "bad.png")
    assert list_artifacts(run.id) == []


FRAME = pd.DataFrame({"error": [0.5, 2.0, np.nan], "label": ["x", None, "ü,\n"]})


@pytest.mark.parametrize("suffix", ["parquet", "csv", "json"])
@pytest.mark.parametrize("holder", ["pandas", "polars", "arrow", "columns", "records"])
def test_a_table_comes_back_as_it_was(holder: str, suffix: str) -> None:
    table: Any = {
        "pandas": lambda: FRAME,
        "polars": lambda: pl.from_pandas(FRAME),
        "arrow": lambda: pa.Table.from_pandas(FRAME),
        "columns": lambda: {"error": FRAME["error"], "label": ["x", None, "ü,\n"]},
        "records": lambda: [{"error": 0.5, "label": "x"}, {"error": np.float64(2)}, {"label": "ü,\n"}],
    }[holder]()
    with start_run() as run:
        log_table(table, f"tables/errors.{suffix}")
    found = load_table(run.id, f"tables/errors.{suffix}")
    pd.testing.assert_frame_equal(found, FRAME, check_dtype=False)


def test_an_index_with_a_name_is_kept() -> None:
    with start_run() as run:
        for suffix in ("parquet", "csv", "json"):
            log_table(FRAME.set_index(pd.Index([1, 2, 3], name="row")), f"errors.{suffix}")
    assert list(load_table(run.id, "errors.parquet").index) == [1, 2, 3]
    assert list(load_table(run.id, "errors.csv")["row"]) == list(load_table(run.id, "errors.json")["row"]) == [1, 2, 3]


def test_what_is_no_table_is_refused_when_written_and_when_read() -> None:
    with start_run() as run:
        for table in (3, {"a": [1], "b": [1, 2]}, [1, 2], pd.DataFrame({"a": [1, "x"]})):
            with pytest.raises(TrackingError, match=r"errors\.parquet"):
                log_table(table, "errors.parquet")
        with pytest.raises(TrackingError, match="suffix"):
            log_table(FRAME, "errors.txt")
        log_text("nothing of the kind", "errors.parquet")
    with pytest.raises(TrackingError, match="cannot be read as a table"):
        load_table(run.id, "errors.parquet")
    with pytest.raises(ArtifactError):
        load_table(run.id, "other.csv")


def test_without_pandas_and_arrow_tables_are_kept_and_the_error_says_what_to_install(tmp_path: Path) -> None:
    """A real interpreter that can import neither, as where they are not installed."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('pandas', 'pyarrow', 'PIL'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import prefect_ml\n"
        "with prefect_ml.start_run() as run:\n"
        "    prefect_ml.log_table([{'a': 1}], 'a.csv')\n"
        "    prefect_ml.log_image([[0.0, 1.0]], 'a.png')\n"
        "    for call in (lambda: prefect_ml.log_table({'a': [1]}), lambda: prefect_ml.log_image([[0.0]], 'a.jpg')):\n"
        "        try: call()\n"
        "        except prefect_ml.errors.TrackingError as error: print(error)\n"
        "print(run.id)\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    table, image, run_id = ended.stdout.splitlines()
    assert "prefect-ml[arrow]" in table
    assert "Pillow" in image
    assert download_artifacts(run_id, "a.csv", to=tmp_path).read_text().split() == ["a", "1"]


def test_a_dict_is_json_that_every_reader_takes() -> None:
    def refused(word: str) -> None:
        pytest.fail(f"{word} is no JSON")

    value = {"loss": [math.nan, -math.inf, np.float64("inf")], "1": ("a", None, {"deep": [1.5]})}
    with start_run():
        text = Path(log_dict(value, "scores.json")).read_text()
        circle: list[Any] = []
        circle.append(circle)
        with pytest.raises(TrackingError, match="plain values"):
            log_dict(circle, "circle.json")
    assert json.loads(text, parse_constant=refused) == {
        "loss": ["NaN", "-Infinity", "Infinity"], "1": ["a", None, {"deep": [1.5]}],
    }  # fmt: skip


def test_a_note_is_the_tag_note() -> None:
    with start_run() as run:
        set_note("first")
        set_note("## Better\n\nthan *before*")
    assert get_run(run.id).tags == {"note": "## Better\n\nthan *before*"}


def test_numbers_that_are_too_large_are_refused_in_one_sentence() -> None:
    with start_run():
        for call, message in (
            (lambda: log_metric("x", 10**5000), r"^Metric 'x' must be one number of at most 1\.8e308 in size"),
            (lambda: log_metric("x", 1, step=10**5000), "whole number of at most 64 bits"),
            (lambda: log_series("x", [1, 10**5000]), "numbers of at most 64 bits in one row"),
        ):
            with pytest.raises(TrackingError, match=message):
                call()
