"""Building an environment with a conda tool: micromamba, mamba, conda or pixi."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import yaml

from ..errors import EnvironmentFailed
from .declared import Declared, conda_tool
from .environment import PIXI
from .uv import Report, child_environ, run_uv
from .wheel import own_wheel

__all__ = ["build_with_conda"]

_ALWAYS = {"CONDA_ALWAYS_YES": "true", "MAMBA_ALWAYS_YES": "true", "MAMBA_NO_BANNER": "1", "NO_COLOR": "1"}
_LONGEST = 500


def build_with_conda(declared: Declared, home: Path, report: Report) -> None:
    """Build the environment at `home`, which must not exist yet.

    Raises:
        EnvironmentFailed: There is no such tool, or something of the environment cannot be had.
    """
    tool = conda_tool()
    if tool is None:
        raise EnvironmentFailed("no micromamba, mamba, conda or pixi is on the PATH; install micromamba")
    with tempfile.TemporaryDirectory(prefix="prefect-ml-conda-") as temporary:
        file, constraints = Path(temporary, "environment.yaml"), Path(temporary, "constraints.txt")
        file.write_text(_for_pixi(declared.conda) if Path(tool).name == "pixi" else declared.conda)
        constraints.write_text(declared.constraints)
        environ = {**child_environ(), **_ALWAYS, "PIP_CONSTRAINT": str(constraints), "UV_CONSTRAINT": str(constraints)}
        for command in _commands(tool, file, home):
            _run(command, environ, home.parent, report)
    if declared.with_prefect_ml:
        python = home.joinpath(*PIXI, "bin", "python") if Path(tool).name == "pixi" else home / "bin" / "python"
        wheel = own_wheel(cache=home.parent / "wheels")
        run_uv("pip", "install", "--python", str(python), str(wheel), cwd=home.parent, report=report)


def _commands(tool: str, file: Path, home: Path) -> list[list[str]]:
    name = Path(tool).name
    if name == "pixi":
        manifest = str(home / "pixi.toml")
        return [[tool, "init", "--import", str(file), str(home)], [tool, "install", "--manifest-path", manifest]]
    create = ["create"] if name == "micromamba" else ["env", "create"]
    return [[tool, *create, "--prefix", str(home), "--file", str(file)]]


def _for_pixi(content: str) -> str:
    """Leave out `nodefaults`, which pixi takes for the name of a channel; it asks no others than a file names."""
    whole = yaml.safe_load(content)
    channels = [channel for channel in whole.get("channels", []) if channel != "nodefaults"]
    return yaml.safe_dump({**whole, "channels": channels}, sort_keys=False)


def _run(command: list[str], environ: dict[str, str], cwd: Path, report: Report) -> None:
    with subprocess.Popen(
        command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as child:  # fmt: skip
        assert child.stdout is not None
        said: list[str] = []
        try:
            for line in child.stdout:
                if words := " ".join(line.rpartition("\r")[2].split()):
                    said.append(words)
                    if words[0].isupper() and "://" not in words:  # pip names its indexes, which is no news
                        report(words)
        except BaseException:
            child.terminate()
            raise
    if child.returncode:
        raise EnvironmentFailed(f"{Path(command[0]).name}: {_reason(said)}")


def _reason(said: list[str]) -> str:
    starts = (i for i, line in enumerate(said) if re.match(r"(\w*Error|error|critical|Could not|Pip failed)", line))
    reason = " ".join(said[next(starts, max(len(said) - 3, 0)) :]) or "no reason given"
    return reason if len(reason) <= _LONGEST else reason[:_LONGEST].rsplit(" ", 1)[0] + " ..."
