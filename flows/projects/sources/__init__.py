"""Where projects and their inputs come from: any address becomes a folder or a file on this machine."""

from __future__ import annotations

from .fetching import fetch
from .garbage import collect_checkouts
from .inputs import digest_of, download
from .model import Fetched, Report
from .working import apply_patch, checkout, run_folder, workspace

__all__ = [
    "Fetched",
    "Report",
    "apply_patch",
    "checkout",
    "collect_checkouts",
    "digest_of",
    "download",
    "fetch",
    "run_folder",
    "workspace",
]
