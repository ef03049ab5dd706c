"""Datasets: the same content is the same digest, whatever holds it, and another content another."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from prefect_ml import log_dataset, start_run
from prefect_ml.errors import NoActiveRun, TrackingError
from prefect_ml.store.datasets import run_datasets
from prefect_ml.tasks.data.content import content_of

pytestmark = pytest.mark.usefixtures("home")

COLUMNS: dict[str, Any] = {
    "int64": np.arange(5),
    "uint16": np.arange(5, dtype="uint16"),
    "float64": [1.5, np.nan, -0.0, np.inf, 2],
    "float32": np.arange(5, dtype="float32"),
    "bool": [True, False, True, False, True],
    "string": ["a", "ü\0", None, "", "日本"],
    "timestamp": pd.array([0, -1, None, 10**18, 5], "Int64").astype("datetime64[ns]"),
    "timestamp[Europe/Berlin]": pd.to_datetime(["2020-06-01"] * 4 + [None]).tz_localize("Europe/Berlin"),
    "duration": pd.to_timedelta([1, 2, None, 4, -5], unit="ms"),
    "date": [dt.date(2020, 1, 1), dt.date(1960, 1, 1), None, None, dt.date(1970, 1, 1)],
    "binary": [b"a", b"", None, b"\xff", b"b"],
    "values": [decimal.Decimal("1.10"), None, decimal.Decimal(2), decimal.Decimal(3), decimal.Decimal(4)],
}


def digest(data: Any) -> str:
    return content_of(data).digest


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_has_one_digest_in_pandas_polars_and_arrow_however_it_is_cut(kind: str) -> None:
    frame = pd.DataFrame({"column": COLUMNS[kind]})
    arrow = pa.Table.from_pandas(frame)
    polars = pl.from_arrow(arrow)
    same = [
        frame,
        arrow,
        polars,
        pl.from_pandas(frame),
        frame["column"],
        frame.set_index(pd.Index([9, 7, 5, 3, 1], dtype="int32")),
        frame.convert_dtypes(dtype_backend="pyarrow") if kind in ("string", "bool", "timestamp") else frame,
        pa.concat_tables([arrow.slice(0, 2), arrow.slice(2, 0), arrow.slice(2)]),
        pl.concat([polars[:2], polars[2:]], rechunk=False),
        arrow.to_batches()[0],
    ]
    assert {digest(one) for one in same} == {digest(frame)}
    assert {content_of(one).schema for one in same} == {(("column", kind),)}


def test_how_values_are_stored_does_not_matter() -> None:
    texts = ["b", "a", None, "b"]
    stored = [
        *(pd.DataFrame({"c": pd.Series(texts, dtype=kind)}) for kind in ("object", "str", "category", "string")),
        *(
            pl.DataFrame({"c": pl.Series(texts, dtype=kind)})
            for kind in (pl.String, pl.Categorical, pl.Enum(["a", "b"]))
        ),
        pa.table({"c": pa.array(texts).dictionary_encode()}),
        pa.table({"c": pa.array(texts, pa.string_view())}),
        pa.table({"c": pa.array(texts, pa.large_string())}),
    ]
    assert len({digest(one) for one in stored}) == 1
    whole = [1, None, 3]
    assert digest(pd.DataFrame({"c": pd.array(whole, "Int64")})) == digest(pl.DataFrame({"c": whole}))
    moments = pd.to_datetime(["2020-01-01", None])
    assert digest(pd.DataFrame({"c": moments.as_unit("s")})) == digest(pd.DataFrame({"c": moments.as_unit("ns")}))
    matrix = np.arange(12.0).reshape(3, 4)
    assert digest(matrix) == digest(np.asfortranarray(matrix)) == digest(matrix.astype(">f8"))
    sparse = scipy.sparse.random(50, 20, 0.1, random_state=1)
    assert digest(sparse) == digest(sparse.tocsc())


def test_another_content_is_another_digest() -> None:
    base = {"a": [1, 2, 3], "b": ["x", "y", "z"]}
    others: list[Any] = [
        base,
        {"b": base["b"], "a": base["a"]},
        {"a": [1, 2, 4], "b": base["b"]},
        {"a": [1, 3, 2], "b": base["b"]},
        {"c": base["a"], "b": base["b"]},
        {"a": base["a"], "b": ["x", "y", None]},
        {"a": base["a"], "b": ["x", "y", ""]},
        {"a": base["a"], "b": ["xy", "", "z"]},
        {"a": base["a"]},
        {"a": [1, 2], "b": ["x", "y"]},
        {"a": [1.0, 2.0, 3.0], "b": base["b"]},
    ]
    frames = [pd.DataFrame(one) for one in others]
    frames += [frames[0].set_index(pd.to_datetime(["2020-01-01"] * 3)), frames[0].iloc[::-1]]
    matrix = np.arange(12)
    arrays = [matrix, matrix.reshape(3, 4), matrix.reshape(4, 3), matrix.astype("int32"), (matrix, matrix), matrix > 3]
    digests = [digest(one) for one in (*frames, *arrays)]
    assert len(set(digests)) == len(digests)
    assert digest(frames[0].set_index("b")) == digest(frames[1])  # an index with a name is a column


def test_the_digest_is_the_same_in_every_process_and_version() -> None:
    """These digests are in people's stores: if one changes, the form needs another name."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.5, np.nan]})
    assert digest(frame) == "7cfb51e6dab15efa2c3377a7e6c303ca427a1a078a4ca648d2378e112233207f"
    assert digest(np.arange(6).reshape(2, 3)) == "58d21d6f8fe47fcf382113b751db7f99d7467784fed01ae3f61199f09c56b0fb"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_texts_cut_anywhere_have_one_digest(texts: list[str | None], cuts: list[int]) -> None:
    texts = [None if text is None else text.encode("utf-8", "replace").decode() for text in texts]
    places = [0, *sorted(min(cut, len(texts)) for cut in cuts), len(texts)]
    parts = [texts[start:end] for start, end in itertools.pairwise(places)]
    chunked = pa.chunked_array([pa.array(part, pa.string()) for part in parts])
    whole = pl.DataFrame({"c": pl.Series(texts, dtype=pl.String)})
    assert digest(pa.table({"c": chunked})) == digest(whole)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_a_run_remembers_its_datasets_and_the_store_keeps_each_once() -> None:
    frame = pd.DataFrame({"alcohol": [9.4, 9.8], "kind": ["red", "white"]})
    with start_run() as first:
        record = log_dataset(frame, name="wine", source="https://me:hunter2@example.org/wine.csv")
        assert log_dataset(pl.from_pandas(frame), name="wine", role="test").digest == record.digest
        log_dataset(frame, name="wine", source="said again")
    with start_run() as second:
        log_dataset(frame, name="wine")
    assert run_datasets(second.id) == [record]
    test, training = run_datasets(first.id)
    assert (training.name, training.role, training.kind, training.rows) == ("wine", "training", "pandas", 2)
    assert training.schema == (("alcohol", "float64"), ("kind", "string"))
    assert training.source == "https://example.org/wine.csv"
    assert (test.role, test.digest) == ("test", training.digest)


def test_files_and_folders_are_known_by_their_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.csv").write_text("a\n1\n")
    (folder / "deep" / "b.csv").write_text("b\n1\n")
    (folder / "link.csv").symlink_to(folder / "a.csv")
    (folder / "circle").symlink_to(folder)
    with start_run():
        file = log_dataset(folder / "a.csv")
        one = log_dataset(folder)
        (folder / "deep" / "b.csv").touch()
        again = log_dataset(str(folder))
        (folder / "deep" / "b.csv").write_text("b\n2\n")
        other = log_dataset(f"file://{folder}", name="changed")
    assert (file.name, file.kind, file.source) == ("a.csv", "file", str(folder / "a.csv"))
    assert file.digest == hashlib.sha256((folder / "a.csv").read_bytes()).hexdigest()
    assert (one.kind, one.name, one.digest) == ("folder", "data", again.digest)
    assert (other.name, other.digest == one.digest) == ("changed", False)


def test_a_url_is_known_by_its_address_and_its_secrets_are_not_kept() -> None:
    with start_run() as run:
        one = log_dataset("s3://key:hunter2@bucket/wine/red.parquet?versionId=3&X-Amz-Signature=hunter2")
        same = log_dataset("s3://bucket/wine/red.parquet?versionId=3")
        other = log_dataset("s3://bucket/wine/red.parquet?versionId=4")
    assert (one.name, one.kind, one.source) == ("red.parquet", "url", "s3://bucket/wine/red.parquet?versionId=3")
    assert one.digest == same.digest != other.digest
    assert len(run_datasets(run.id)) == 2


def test_what_scikit_learn_loads_and_parts_by_name_are_datasets() -> None:
    with start_run():
        bunch = log_dataset(load_iris(), name="iris")
        frame = log_dataset(load_iris(as_frame=True), name="iris")
        pair = log_dataset((np.eye(3), np.arange(3)), name="pair")
        parts = log_dataset({"x": np.eye(3), "y": pd.Series([1, 2, 3], name="label")}, name="parts")
    assert (bunch.kind, bunch.rows, bunch.schema) == ("numpy", 150, (("data", "float64[4]"), ("target", "int64")))
    assert (frame.kind, frame.rows, len(frame.schema)) == ("pandas", 150, 5)
    assert pair.schema == (("0", "float64[3]"), ("1", "int64"))
    assert parts.schema == (("x", "float64[3]"), ("y.label", "int64"))


def test_what_is_no_dataset_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NoActiveRun):
        log_dataset(np.eye(2))
    refused: list[tuple[Any, str]] = [
        (tmp_path / "missing.csv", "There is no dataset"),
        (object(), "cannot read a object"),
        (pl.LazyFrame({"a": [1]}), "collect"),
        (pd.DataFrame({"a": [object()]}), "Column 'a'"),
        (np.array([object()]), "stable content"),
    ]
    with start_run() as run:
        for data, message in refused:
            with pytest.raises(TrackingError, match=message):
                log_dataset(data)
        with pytest.raises(TrackingError, match="cannot name"):
            log_dataset(np.eye(2), name="")
    assert run_datasets(run.id) == []


@pytest.mark.parametrize(
    ("make", "strangers"),
    [
        ("import numpy; data = numpy.eye(3)", "pandas polars pyarrow"),
        ("import polars; data = polars.DataFrame({'a': ['x', None], 'b': [1, 2]})", "pandas pyarrow"),
        ("import pyarrow; data = pyarrow.table({'a': ['x', None]})", "pandas polars"),
        ("data = __file__", "pandas polars pyarrow"),
    ],
    ids=["numpy", "polars", "arrow", "file"],
)
def test_no_library_is_imported_for_data_that_is_not_its_own(make: str, strangers: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys, prefect_ml\n{make}\nbefore = set(sys.modules)\n"
        "with prefect_ml.start_run(): prefect_ml.log_dataset(data)\n"
        f"print(*(name for name in {strangers.split()!r} if name in set(sys.modules) - before))\n"
    )
    ended = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True, env=os.environ.copy())
    assert ended.stdout.split() == []
