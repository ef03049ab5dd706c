"""The flavor that docs/flavors.md shows, built, installed and used."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

DOCS = Path(__file__).parents[1] / "docs" / "flavors.md"
SAVE = """
import sys
import prefect_ml, numpy
from centroids import Centroids
rows = numpy.array([[0.0, 0.0], [9.0, 9.0]])
model = Centroids([[1, 1], [8, 8], [5, 5]])
saved = prefect_ml.save_model(model, sys.argv[1], example=rows, requirements=["centroids==1.0"])
print(saved.flavor)
"""
LOAD = """
import json, sys
from pathlib import Path
import prefect_ml
from prefect_ml.serving.runtime.model import executes_on_load
loaded = prefect_ml.load_model(sys.argv[1], trust=True)
native = type(loaded.native())
print(json.dumps([loaded.predict([[7.0, 7.0]]).tolist(), native.__module__, executes_on_load(Path(sys.argv[1]))]))
"""
BARE = "import sys, centroids; print(centroids._load_pyfunc(sys.argv[1]).predict([[7.0, 7.0]]).tolist())"


def block(language: str) -> str:
    """Give the last code block of this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS.read_text(), re.DOTALL | re.MULTILINE)[-1]


def test_a_package_brings_a_flavor_by_its_entry_point(tmp_path: Path, home: Path) -> None:
    project, installed, model = tmp_path / "project", tmp_path / "installed", tmp_path / "model"
    project.mkdir()
    (project / "pyproject.toml").write_text(block("toml"))
    (project / "centroids.py").write_text(block("python"))
    install = [find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(installed)]
    subprocess.run([*install, "--no-deps", "--no-build-isolation", str(project)], check=True)

    def run(program: str) -> list[str]:
        environ = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, "-P", "-c", program, str(model)]
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert run(SAVE) == ["centroids"]
    assert json.loads(run(LOAD)[-1]) == [[1], "centroids", []]
    assert run(BARE) == ["[1]"]
