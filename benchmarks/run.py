"""Run every benchmark and print one table: `python benchmarks/run.py`."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import datetime, timezone

import bench_import
import bench_models
import bench_predict
import bench_tracking
from rows import as_markdown


def main() -> None:
    """Print what was measured, where and when."""
    rows = [*bench_import.measure(), *bench_tracking.measure(), *bench_models.measure(), *bench_predict.measure()]
    print(as_markdown(rows))
    print()
    print(f"Measured on {datetime.now(timezone.utc):%Y-%m-%d}: {_machine()}.")


def _machine() -> str:
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, {python}"


if __name__ == "__main__":
    main()
