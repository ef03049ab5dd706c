"""Lists of runs as people and other libraries want them: tables of one row per run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from ..errors import TrackingError
from .filters.parse import parse_column
from .filters.syntax import Name
from .records import Run

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RunList", "import_arrow"]

_GROUPS = ("params", "metrics", "tags")
_ATTRIBUTES = tuple(field.name for field in dataclasses.fields(Run) if field.name not in (*_GROUPS, "source"))
_SHOWN = 1000


class RunList(list[Run]):
    """A list of runs that a notebook shows as a table.

    Attributes:
        next_page_token: What `search_runs(..., page_token=...)` continues with; None at the end.
        columns: The columns that were asked for, as they were written; None means all.
    """

    def __init__(
        self, runs: Iterable[Run] = (), *, next_page_token: str | None = None, columns: Sequence[str] | None = None
    ) -> None:
        super().__init__(runs)
        self.next_page_token = next_page_token
        self.columns = None if columns is None else tuple(columns)

    def to_pandas(self) -> pd.DataFrame:
        """Give one row per run, with columns `params.x`, `metrics.x` and `tags.x`; times are aware, in UTC.

        A metric that a run lacks is NaN, and a param or tag None.
        """
        import pandas as pd

        return pd.DataFrame({name: pd.Series(values, dtype=_pandas_type(name)) for name, values in self._table()})

    def to_arrow(self) -> Any:
        """Give the same as an Arrow table; what a run lacks is null, and a metric that is NaN is NaN.

        Raises:
            TrackingError: Arrow is not installed.
        """
        arrow = import_arrow()
        columns = {name: arrow.array(values, type=_arrow_type(arrow, name)) for name, values in self._table()}
        return arrow.table(columns)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Give the same as one tuple per run; what a run lacks is None."""
        return zip(*(values for _, values in self._table()), strict=True)

    def _repr_html_(self) -> str:
        table = [(name, values[:_SHOWN]) for name, values in self._table()]
        head = "".join(f"<th>{escape(name)}</th>" for name, _ in table)
        rows = zip(*(values for _, values in table), strict=True)
        body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in rows)
        more = f"<p>The first {_SHOWN:,} of {len(self):,} runs.</p>" if len(self) > _SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"

    def _table(self) -> Iterator[tuple[str, list[Any]]]:
        for text, name in self._names():
            if not name.group:
                yield text, [getattr(run, name.name) for run in self]
            elif name.group == "source":
                yield text, [getattr(run.source, name.name) for run in self]
            else:
                key = f"{name.name}.{name.statistic}" if name.statistic else name.name
                yield text, [getattr(run, name.group).get(key) for run in self]

    def _names(self) -> list[tuple[str, Name]]:
        if self.columns is not None:
            return [(text, parse_column(text)) for text in self.columns]
        plain = [(name, Name("", name)) for name in _ATTRIBUTES]
        keys = ((group, dict.fromkeys(key for run in self for key in getattr(run, group))) for group in _GROUPS)
        return [*plain, *((f"{group}.{key}", Name(group, key)) for group, names in keys for key in names)]


def import_arrow() -> Any:
    """Import pyarrow.

    Raises:
        TrackingError: It is not installed.
    """
    try:
        import pyarrow as pa
    except ModuleNotFoundError as error:
        raise TrackingError("Arrow tables and Parquet need pyarrow: pip install 'prefect-ml[arrow]'.") from error
    return pa


def _pandas_type(name: str) -> str:
    if name.startswith("metrics."):
        return "float64"
    if name == "attempt":
        return "int64"
    return "datetime64[ms, UTC]" if name in ("started_at", "ended_at") else "object"


def _arrow_type(arrow: Any, name: str) -> Any:
    if name.startswith("metrics."):
        return arrow.float64()
    if name == "attempt":
        return arrow.int64()
    return arrow.timestamp("ms", tz="UTC") if name in ("started_at", "ended_at") else arrow.string()


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return escape(value.isoformat(sep=" ", timespec="seconds"))
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    return "" if value is None else escape(str(value))
