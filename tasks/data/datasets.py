"""Recording which data a run has used: its name, role, digest, columns and rows; the data itself stays where it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ...errors import TrackingError
from ...store.entries import dataset_entry
from ...store.records import RunDataset
from ..active import ActiveRun
from ..addresses import is_url, without_credentials
from ..scope import require_run
from ..texts import checked_name
from .content import Content, content_of, content_of_path

__all__ = ["log_dataset"]


def log_dataset(
    data: Any,
    *,
    name: str | None = None,
    role: str = "training",
    source: str | Path | None = None,
    run: ActiveRun | None = None,
) -> RunDataset:
    """Record that the run uses data; the data itself is not copied.

    The digest is that of the content: the same table has the same one in pandas, polars and Arrow, in every process
    and however it is cut into chunks. A file or folder is known by its bytes, and a URL by its address alone: nothing
    is downloaded.

    Args:
        data: A table or series (pandas, polars, Arrow), an array (numpy, torch, a sparse matrix), a dict or tuple of
            these, the path of a file or folder, or a URL.
        name: Name of the dataset; by default that of the file or folder, or `dataset`.
        role: What the run uses it for, for instance `training` or `test`.
        source: Where data in memory came from, for the record.
        run: The run; the current one by default.

    Returns:
        The record, with its digest.

    Raises:
        NoActiveRun: No run is open.
        TrackingError: There is no such file, or the data is of a kind that cannot be read.
    """
    run = require_run("log_dataset", run)
    content, called, place = _described(data)
    origin = place if source is None else without_credentials(str(source))
    chosen = checked_name(called if name is None else name)
    record = RunDataset(chosen, checked_name(role), content.digest, content.kind, origin, content.rows, content.schema)
    run.writer.submit(dataset_entry(run.id, run.attempt, record))
    return record


def _described(data: Any) -> tuple[Content, str, str]:
    """Give content, name and place of data."""
    text = str(data) if isinstance(data, (str, Path)) else ""
    if not text:
        return content_of(data), "dataset", ""
    if is_url(text) and urlsplit(text).scheme != "file":
        address = without_credentials(text)
        digest = hashlib.sha256(address.encode()).hexdigest()
        name = unquote(urlsplit(address).path).rstrip("/").rpartition("/")[2]
        return Content("url", digest, None), name or urlsplit(address).netloc or "dataset", address
    path = Path(unquote(urlsplit(text).path) if is_url(text) else text).expanduser()
    if not path.exists():
        raise TrackingError(
            f"There is no dataset at {text!r}; give the path of a file or folder that exists, or a URL."
        )
    path = path.absolute()
    return content_of_path(path), path.name, str(path)
