"""The documents' examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import prefect_ml
from prefect_ml import model_history, search_runs

ROOT = Path(__file__).parents[1]


def examples(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), flags=re.S)


def test_the_ten_lines_of_the_readme_run_as_they_are(home: Path, tmp_path: Path) -> None:
    (code,) = examples("README.md")
    script = tmp_path / "train.py"
    script.write_text(code)
    subprocess.run([sys.executable, script], check=True, cwd=tmp_path, env=os.environ.copy())
    (run,) = search_runs("metrics.accuracy > 0.5", experiments=["wine"])
    assert (run.status, run.params) == ("Completed", {"alpha": "0.01", "epochs": "5"})
    assert [event.kind for event in model_history("wine")] == ["registered", "promoted"]
    assert model_history("wine")[-1].reason == "the first"


@pytest.mark.parametrize("document", sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")))
def test_python_in_the_documents_is_python_and_its_names_exist(document: str) -> None:
    for code in examples(document):
        compile(code, document, "exec")
        for names in re.findall(r"^from prefect_ml import (?:\()?([\w, ]+)", code, flags=re.M):
            for name in filter(None, (name.strip() for name in names.split(","))):
                assert hasattr(prefect_ml, name), f"{document} imports {name}"
