"""Cases run in processes of their own, with a home of their own, so that none warms up another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEER = Path(sys.prefix) / "bench" / "mlflow" / "bin" / "python"


def ours(case: str, *, script: str = "tracking_ours.py", python: str | Path = sys.executable, **environ: str) -> Any:
    """Run one case of a script; give what it printed."""
    return _run(str(python), script, case, environ)


def peers(case: str, *, script: str = "tracking_mlflow.py", **environ: str) -> Any:
    """Run the same case with MLflow; None where its environment is not there."""
    return _run(str(PEER), script, case, environ) if PEER.exists() else None


def _run(python: str, script: str, case: str, environ: dict[str, str]) -> Any:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT", "MLFLOW"))}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as home:
        environ = {
            **inherited,
            "PREFECT_ML_HOME": home,
            "MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db",
            **environ,
        }
        child = subprocess.run(
            [python, str(HERE / script), case], stdout=subprocess.PIPE, text=True, check=True, cwd=home, env=environ
        )
    return json.loads(child.stdout.strip().splitlines()[-1])
