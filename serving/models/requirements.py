"""What a model needs to be loaded elsewhere: found by loading it in a clean child process, with exact versions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from ...environments.uv import child_environ
from ...errors import ModelError
from .. import runtime
from .examples import example_request

__all__ = ["checked_requirements", "infer_requirements"]

_SECONDS = 300
# The runtime's modules are loaded by path, so that neither prefect-ml nor the user's own folder is on the import path.
_PROGRAM = """
import importlib.util, sys
home, folder, request = sys.argv[1:]
sys.modules["prefect_ml"] = None  # it is not there where models are served
spec = importlib.util.spec_from_file_location(
    "prefect_ml_scoring", home + "/__init__.py", submodule_search_locations=[home])
sys.modules["prefect_ml_scoring"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from prefect_ml_scoring.probe import probe
probe(folder, request)
"""


def checked_requirements(lines: Sequence[str]) -> list[str]:
    """Give lines for pip as they were given.

    Raises:
        ModelError: They are one text, or a line names no package.
    """
    if isinstance(lines, str):
        raise ModelError(f"requirements={lines!r} is one text; give a list of lines, such as ['numpy>=2'].")
    for line in lines:
        if line.lstrip().startswith(("-", "#")) or "/" in line or not line.strip():
            continue  # options, comments and places are pip's own to read
        try:
            Requirement(line)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"{line!r} in requirements= names no package ({reason}); write it as for pip.") from error
    return list(lines)


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
        if lines and re.search(r"ModuleNotFoundError: (import of prefect_ml|No module named 'prefect_ml)\b", lines[-1]):
            raise ModelError("The model imports prefect_ml, which is not there where models are served; leave it out.")
        raise ModelError(
            f"The saved model does not work in a clean process ({lines[-1] if lines else 'it died'});"
            " name the source files that it needs with code=[...], and see that it scores its example."
        )
    return json.loads(done.stdout.splitlines()[-1])
