"""Exporting runs to a Parquet or CSV file, page by page."""

from __future__ import annotations

import csv
import dataclasses
import math
import uuid
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import BadName, TrackingError
from .engine import Store, current_store
from .queries import search_runs
from .records import Run
from .results import RunList, import_arrow

__all__ = ["export_runs"]

_PAGE = 2_000
_GROUPS = ("params", "metrics", "tags")
_SOURCE = ("project", "entry_point", "commit", "branch")
_PLAIN = [field.name for field in dataclasses.fields(Run) if field.name not in (*_GROUPS, "source")]
_Write = Callable[[RunList], None]


def export_runs(
    path: str | Path,
    filter: str = "",  # noqa: A002 - as in search_runs
    *,
    experiments: Iterable[str] | None = None,
    order_by: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    store: Store | None = None,
) -> int:
    """Write the runs that a filter matches to a file, one row for each; what is there is replaced when all is written.

    Args:
        path: The file; it ends in `.parquet` or `.csv`.
        filter: As in `search_runs`.
        experiments: As in `search_runs`.
        order_by: As in `search_runs`.
        columns: Fields to write, as in `search_runs`; by default all that any of the runs has.
        store: Another store than the one that the settings name.

    Returns:
        How many runs were written.

    Raises:
        BadName: The file is of another kind.
        TrackingError: It cannot be written, or pyarrow is missing.
        FilterError: The filter, the order or a column is wrong.
    """
    target = Path(path)
    writer = {".parquet": _parquet, ".csv": _csv}.get(target.suffix.lower())
    if writer is None:
        raise BadName(f"Runs are exported to .parquet or .csv, and {target.name} is neither; rename it.")
    store = current_store(store)
    named = None if experiments is None else list(experiments)
    pages = _Pages(store, filter, named, order_by)
    labels = {text: text for text in columns} if columns is not None else pages.labels()
    if writer is _parquet:
        import_arrow()
    count = 0
    with _replaced(target) as part, writer(part, labels) as write:
        for page in pages.read(list(labels.values())):
            write(page)
            count += len(page)
    return count


@dataclasses.dataclass(frozen=True)
class _Pages:
    """All pages of a search."""

    store: Store
    filter: str
    experiments: list[str] | None
    order_by: Sequence[str]

    def read(self, columns: Sequence[str] | None) -> Generator[RunList]:
        token: str | None = None
        while True:
            page = search_runs(
                self.filter, experiments=self.experiments, order_by=self.order_by, limit=_PAGE, page_token=token,
                columns=columns, store=self.store,
            )  # fmt: skip
            yield page
            token = page.next_page_token
            if token is None:
                return

    def labels(self) -> dict[str, str]:
        """Give the name of every column that some run has, and how a search spells it."""
        found: dict[str, dict[str, None]] = {group: {} for group in _GROUPS}
        for page in self.read(None):
            for run in page:
                for group, names in found.items():
                    names.update(dict.fromkeys(getattr(run, group)))
        labels = {name: name for name in _PLAIN} | {f"source.{name}": f"source.{name}" for name in _SOURCE}
        for group, names in found.items():
            labels |= {f"{group}.{name}": f"{group}.`{name.replace('`', '``')}`" for name in sorted(names)}
        return labels


@contextmanager
def _replaced(target: Path) -> Generator[Path]:
    """Give a file beside the target that takes its place when all went well."""
    part = target.with_name(f".{target.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        yield part
        part.replace(target)
    except OSError as error:
        raise TrackingError(f"{target} cannot be written ({error.strerror or error}); choose another file.") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _parquet(path: Path, labels: dict[str, str]) -> Generator[_Write]:
    import pyarrow.parquet as pq

    parquet: Any = pq
    writer: Any = None

    def write(page: RunList) -> None:
        nonlocal writer
        table = page.to_arrow().rename_columns(list(labels))
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer:
            writer.close()


@contextmanager
def _csv(path: Path, labels: dict[str, str]) -> Generator[_Write]:
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(labels)
        yield lambda page: writer.writerows(map(_cells, page.rows()))


def _cells(values: Iterable[Any]) -> list[Any]:
    return [_cell(value) for value in values]


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
