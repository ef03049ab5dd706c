"""The examples of docs/tracking.md run as they are, in their order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from prefect_ml import list_artifacts, load_table, search_runs
from prefect_ml.settings import load_settings
from prefect_ml.tasks.system.machine import Machine

PAGE = (Path(__file__).parents[1] / "docs" / "tracking.md").read_text()


def test_the_examples_run(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)))
    subprocess.run([sys.executable, script], check=True, cwd=tmp_path, env=os.environ.copy(), capture_output=True)
    media, _, baseline = search_runs(experiments=["wine"])
    assert baseline.tags == {"team": "cellar", "reviewed": "no", "note": "The **first** try, with the defaults."}
    assert len(list_artifacts(media.id)) == 8
    assert load_table(media.id, "errors.parquet").to_dict("list") == {"label": ["red", "white"], "error": [0.1, 0.2]}


@pytest.mark.usefixtures("home")
def test_the_page_names_every_system_metric_and_the_settings_that_it_shows_exist(tmp_path: Path) -> None:
    for name in Machine().look():
        assert f"`{name}`" in PAGE
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.S)
    (tmp_path / "pyproject.toml").write_text(toml)
    settings = load_settings(environ={}, cwd=tmp_path, block=dict)
    assert (settings.system_metrics, settings.system_metrics_seconds) == (True, 10.0)
