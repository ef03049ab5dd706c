"""Digests of data: what a dataset holds, by which it is known wherever and in whichever library it is loaded.

The digest of a table is the sha256 of its number of rows and, for each column in order, name, type and content.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ...errors import TrackingError
from .columns import Column, column_of_array
from .frames import is_of, table_columns

__all__ = ["Content", "content_of", "content_of_path"]

_FORMAT = "prefect-ml dataset 1"
_MOST_PARTS = 64


@dataclass(frozen=True)
class Content:
    """What data holds.

    Attributes:
        kind: What it came as.
        digest: sha256 of the content.
        rows: Number of rows, or None where that means nothing.
        schema: Name and type of each column.
    """

    kind: str
    digest: str
    rows: int | None
    schema: tuple[tuple[str, str], ...] = ()


def content_of(data: Any) -> Content:
    """Describe data in memory.

    Args:
        data: A table or series of pandas, polars or Arrow; an array of numpy or what becomes one; a sparse matrix of
            scipy; a dict, tuple or list of these, as `(X, y)` or what scikit-learn's loaders give.

    Raises:
        TrackingError: It is none of these.
    """
    if found := table_columns(data):
        kind, rows, columns = found
        return _of_columns(kind, rows, columns)
    if is_of(data, "scipy") and hasattr(data, "tocsr"):
        return _of_sparse(data)
    if parts := _parts(data):
        return _of_parts({name: content_of(part) for name, part in parts.items()})
    if hasattr(data, "__array__") or isinstance(data, list):
        return _of_array(data)
    raise TrackingError(
        f"log_dataset cannot read a {type(data).__name__}; give a table, an array, a dict or tuple of them, or a path."
    )


def content_of_path(path: Path) -> Content:
    """Describe a file or a folder by the sha256 of its bytes.

    Raises:
        TrackingError: There is nothing, or it cannot be read.
    """
    try:
        if path.is_dir():
            files = {name: [file.stat().st_size, _file_digest(file)] for name, file in _files(path)}
            return Content("folder", _digest_of([_FORMAT, "folder", files]), None)
        return Content("file", _file_digest(path), None)
    except OSError as error:
        raise TrackingError(f"The dataset {path} cannot be read ({error.strerror}); check the path.") from error


def _of_columns(kind: str, rows: int | None, columns: Iterator[Column]) -> Content:
    described: list[tuple[str, str]] = []
    digests: list[str] = []
    for column in columns:
        described.append((column.name.replace("\0", "\\0"), column.kind))
        digests.append(_column_digest(column))
    return Content(kind, _digest_of([_FORMAT, rows, described, digests]), rows, tuple(described))


def _column_digest(column: Column) -> str:
    import numpy as np

    missing = hashlib.sha256()
    streams: list[Any] = []
    row = 0
    for chunk in column.chunks:
        streams += [hashlib.sha256() for _ in chunk.streams[len(streams) :]]
        for stream, content in zip(streams, chunk.streams, strict=False):
            stream.update(content)
        if chunk.nulls is not None:
            missing.update((np.flatnonzero(chunk.nulls) + row).astype("<i8").tobytes())
        row += chunk.rows
    return "".join(stream.hexdigest() for stream in (missing, *streams)) if row else ""


def _of_array(data: Any) -> Content:
    import numpy as np

    try:
        array = np.asarray(data.detach().cpu() if hasattr(data, "detach") else data)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrackingError(f"log_dataset cannot read this {type(data).__name__} as an array ({error}).") from error
    rows = len(array) if array.ndim else None
    if array.dtype.names:
        named = (column_of_array(name, array[name]) for name in array.dtype.names)
        return _of_columns("numpy", rows, named)
    return _of_columns("numpy", rows, iter([column_of_array("", np.atleast_1d(array))]))


def _of_sparse(data: Any) -> Content:
    matrix = data.tocsr(copy=True)
    matrix.sum_duplicates()
    arrays = {"indptr": matrix.indptr.astype("<i8"), "indices": matrix.indices.astype("<i8"), "data": matrix.data}
    digests = [_column_digest(column_of_array(name, array)) for name, array in arrays.items()]
    kind = f"sparse {matrix.dtype.name}"
    rows, columns = matrix.shape
    return Content("scipy", _digest_of([_FORMAT, kind, rows, columns, digests]), rows, (("", f"{kind}[{columns}]"),))


def _parts(data: Any) -> dict[str, Any]:
    """Give the parts of a container by name; none for data that is one piece."""
    if isinstance(data, Mapping):
        named = cast("Mapping[Any, Any]", data)
        if "data" in named and "target" in named:  # what scikit-learn's loaders give
            whole = named.get("frame")
            return {"data": named["data"], "target": named["target"]} if whole is None else {"frame": whole}
        return {str(name): part for name, part in named.items()}
    if isinstance(data, tuple):
        return {str(place): part for place, part in enumerate(cast("tuple[Any, ...]", data))}
    return {}


def _of_parts(parts: Mapping[str, Content]) -> Content:
    if len(parts) > _MOST_PARTS and any(part.kind != "numpy" for part in parts.values()):
        raise TrackingError(f"log_dataset was given {len(parts)} tables at once; log them one by one, or make one.")
    first = next(iter(parts.values()))
    schema = [
        (f"{name}.{column}" if column else name, kind) for name, part in parts.items() for column, kind in part.schema
    ]
    digests = [[name, part.digest] for name, part in parts.items()]
    return Content(first.kind, _digest_of([_FORMAT, "parts", digests]), first.rows, tuple(schema))


def _files(folder: Path) -> Generator[tuple[str, Path]]:
    """Give the files below a folder in order, those that links lead to among them; a circle is gone through once."""
    seen: set[str] = set()
    found: list[tuple[str, Path]] = []
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        found += [(Path(place, name).relative_to(folder).as_posix(), Path(place, name)) for name in names]
    yield from sorted(found)


def _refuse(error: OSError) -> None:
    raise error


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
