"""Tables as artifacts of a run: Parquet, CSV or JSON."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, cast

from ...errors import TrackingError
from ...store import Store
from ...store.run_artifacts import download_artifacts
from ..active import ActiveRun
from ..files import write_artifact
from ..scope import require_run
from .frames import is_of

__all__ = ["load_table", "log_table"]

_FORMATS = (".parquet", ".csv", ".json")


def log_table(table: Any, to: str = "table.parquet", *, run: ActiveRun | None = None) -> str:
    """Keep a table as an artifact.

    Args:
        table: A table of pandas, polars or Arrow, a dict of columns, or a list of records.
        to: Its path below the artifacts, `.parquet`, `.csv` or `.json`. Parquet needs pyarrow (the extra `arrow`),
            unless polars writes its own. CSV and JSON keep an index
            of pandas only where it has a name, as a column.
        run: The run; the current one by default.

    Returns:
        Where it lies.

    Raises:
        NoActiveRun: No run is open.
        TrackingError: This is no table, the format is another, or pyarrow is missing.
        ArtifactError: `to` leads out of the run's artifacts.
    """
    run = require_run("log_table", run)
    kind = _format_of(to)
    writers: dict[str, Callable[[Any, str, Path], None]] = {
        "pandas": _write_pandas,
        "polars": _write_polars,
        "pyarrow": _write_arrow,
    }
    write = next((writers[library] for library in writers if is_of(table, library)), _write_plain)

    def save(file: Path) -> None:
        try:
            write(table, kind, file)
        except _faults() as error:
            reason = str(error).strip().partition("\n")[0]
            raise TrackingError(
                f"The table cannot be written as {to!r} ({reason}); use columns of one type."
            ) from error

    return write_artifact(run, to, save)


def load_table(run_id: str, path: str = "table.parquet", *, store: Store | None = None) -> Any:
    """Read a table that a run has logged.

    Args:
        run_id: The run.
        path: The table's path below the run's artifacts.
        store: Another store than the one that the settings name.

    Returns:
        A pandas DataFrame; an Arrow table where pandas is not installed.

    Raises:
        RunNotFound: No run has this id.
        ArtifactError: The run has logged no such file.
        TrackingError: It is no table, or neither pandas nor pyarrow is installed.
    """
    kind = _format_of(path)
    with tempfile.TemporaryDirectory() as folder:
        file = download_artifacts(run_id, path, to=folder, store=store)
        if not file.is_file():
            raise TrackingError(f"{path!r} is a folder; give the path of a table.")
        try:
            return _read(kind, file)
        except (ValueError, KeyError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise TrackingError(f"{path!r} of run {run_id} cannot be read as a table ({reason}).") from error


def _faults() -> tuple[type[Exception], ...]:
    """Give what libraries raise about a table; those of Arrow are among Python's own."""
    own = (TypeError, ValueError, AttributeError, NotImplementedError)
    polars = sys.modules.get("polars")
    return (*own, polars.exceptions.PolarsError) if polars else own


def _format_of(path: str) -> str:
    kind = PurePosixPath(path).suffix.lower()
    if kind not in _FORMATS:
        raise TrackingError(f"{path!r} names no table; its suffix must be one of {', '.join(_FORMATS)}.")
    return kind


def _write_pandas(table: Any, kind: str, file: Path) -> None:
    frame = table if hasattr(table, "columns") else table.to_frame()
    if kind == ".parquet":
        _write_arrow(_arrow().Table.from_pandas(frame), kind, file)
        return
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    if kind == ".csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_json(file, orient="records", date_format="iso")


def _write_polars(table: Any, kind: str, file: Path) -> None:
    frame = table if hasattr(table, "write_csv") else table.to_frame()
    {".parquet": frame.write_parquet, ".csv": frame.write_csv, ".json": frame.write_json}[kind](file)


def _write_arrow(table: Any, kind: str, file: Path) -> None:
    if not hasattr(table, "column_names"):
        raise TypeError(f"it is a {type(table).__name__} and no table")
    if not hasattr(table, "combine_chunks"):
        table = _arrow().Table.from_batches([table])
    if kind == ".parquet":
        importlib.import_module("pyarrow.parquet").write_table(table, file)
    elif kind == ".csv":
        importlib.import_module("pyarrow.csv").write_csv(table, file)
    else:
        _write_json(table.to_pylist(), file)


def _write_plain(table: Any, kind: str, file: Path) -> None:
    """Write a dict of columns, or a list of records."""
    records = _records(table)
    if kind == ".parquet":
        _write_arrow(_arrow().Table.from_pylist(records), kind, file)
    elif kind == ".json":
        _write_json(records, file)
    else:
        names = list(dict.fromkeys(name for record in records for name in record))
        with file.open("w", newline="") as target:
            writer = csv.DictWriter(target, names)
            writer.writeheader()
            writer.writerows(records)


def _records(table: Any) -> list[dict[str, Any]]:
    if isinstance(table, Mapping):
        columns = {str(name): _listed(column) for name, column in cast("Mapping[Any, Any]", table).items()}
        if len({len(column) for column in columns.values()}) > 1:
            raise TypeError("its columns are not equally long")
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if _is_records(table):
        records = cast("Sequence[Mapping[Any, Any]]", table)
        return [{str(name): _scalar(value) for name, value in record.items()} for record in records]
    raise TypeError(f"it is a {type(table).__name__}; give a table, a dict of columns or a list of records")


def _is_records(table: Any) -> bool:
    return isinstance(table, (list, tuple)) and all(isinstance(one, Mapping) for one in cast("Sequence[Any]", table))


def _listed(column: Any) -> list[Any]:
    return column.tolist() if hasattr(column, "tolist") else [_scalar(value) for value in column]


def _scalar(value: Any) -> Any:
    # A number of numpy is no array, but it has the shape of none.
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _write_json(records: list[dict[str, Any]], file: Path) -> None:
    rows = [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in one.items()}
        for one in records
    ]
    file.write_text(json.dumps(rows, default=str))


def _read(kind: str, file: Path) -> Any:
    if importlib.util.find_spec("pandas"):
        import pandas as pd

        if kind == ".parquet":
            return _arrow("pyarrow.parquet").read_table(file).to_pandas()
        return pd.read_csv(file) if kind == ".csv" else pd.read_json(file, orient="records")
    if kind == ".parquet":
        return _arrow("pyarrow.parquet").read_table(file)
    if kind == ".csv":
        return _arrow("pyarrow.csv").read_csv(file)
    return _arrow().Table.from_pylist(json.loads(file.read_text()))


def _arrow(module: str = "pyarrow") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise TrackingError(
            "Parquet, and reading tables without pandas, need pyarrow: install prefect-ml[arrow], or log .csv or .json."
        ) from error
