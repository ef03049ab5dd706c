"""What `import prefect_ml` costs: processor time in fresh processes, and which heavy packages it drags in."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

from rows import Row, as_markdown

_HEAVY = ("prefect", "sqlalchemy", "pandas", "bentoml", "numpy")
_TIMES = 11
_CHILD = """
import json, sys, time
begun = time.process_time()
import prefect_ml
spent = time.process_time() - begun
modules = sorted({name.partition(".")[0] for name in sys.modules})
from prefect_ml import log_metric, start_run
with start_run():
    log_metric("loss", 0.5)
print(json.dumps([spent, time.process_time() - begun, modules]))
"""


def measure() -> list[Row]:
    """Import in several processes, the first of which only warms the bytecode cache."""
    answers = [_import_once() for _ in range(_TIMES)][1:]
    spent = [imported * 1000 for imported, _, _ in answers]
    heavy = {name for *_, modules in answers for name in modules} & set(_HEAVY)
    tracked = statistics.median(until_tracked for _, until_tracked, _ in answers)
    return [
        Row("`import prefect_ml`, processor time, median of 10 processes", statistics.median(spent), "ms", "< 150 ms"),
        Row("the slowest of them", max(spent), "ms"),
        Row(f"heavy packages that it imports ({', '.join(_HEAVY)})", len(heavy), "", "0"),
        Row("import, a new store and a first run with one point, processor time, median", tracked * 1000, "ms"),
    ]


def _import_once() -> tuple[float, float, list[str]]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as elsewhere:
        environ = {**inherited, "PREFECT_ML_HOME": elsewhere}
        child = subprocess.run(
            [sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True, cwd=elsewhere, env=environ
        )
    return tuple(json.loads(child.stdout))


if __name__ == "__main__":
    print(as_markdown(measure()))
