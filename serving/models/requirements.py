"""What a model needs to be loaded elsewhere: found by loading it in a clean child process, with exact versions."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from ...environments.uv import child_environ
from ...errors import ModelError
from .. import runtime
from .examples import example_request

__all__ = ["infer_requirements"]

_SECONDS = 300
# The runtime's modules are loaded by path, so that neither prefect-ml nor the user's own folder is on the import path.
_PROGRAM = """
import importlib.util, sys
home, folder, request = sys.argv[1:]
spec = importlib.util.spec_from_file_location(
    "prefect_ml_scoring", home + "/__init__.py", submodule_search_locations=[home])
sys.modules["prefect_ml_scoring"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from prefect_ml_scoring.probe import probe
probe(folder, request)
"""


def infer_requirements(folder: Path) -> list[str]:
    """Load a saved model where only installed packages are, and give `name==version` of those that it used.

    Raises:
        ModelError: It cannot be loaded or cannot score its example there, or needs a package that no index has.
    """
    found = _ask(folder)
    if local := sorted(name for name, version in found.items() if not version):
        raise ModelError(
            f"The model needs {local[0]}, which is installed from a local folder and found on no index;"
            f" name its source files with code=[...], or say where it is with requirements=[...]."
        )
    return sorted((f"{name}=={version}" for name, version in found.items()), key=str.lower)


def _ask(folder: Path) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as clean:
        request = Path(clean) / "request.json"
        request.write_bytes(example_request(folder) or b"")
        home = Path(runtime.__file__).parent
        command = [sys.executable, "-P", "-c", _PROGRAM, str(home), str(folder), str(request)]
        try:
            done = subprocess.run(
                command, cwd=clean, env=child_environ(), capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise ModelError(f"The model was not loaded again within {_SECONDS} s; give requirements=[...].") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ModelError(
            f"The saved model does not work in a clean process ({lines[-1] if lines else 'it died'});"
            " name the source files that it needs with code=[...], and see that it scores its example."
        )
    return json.loads(done.stdout.splitlines()[-1])
