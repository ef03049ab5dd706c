"""`conda.yaml`: for a conda tool as it is; for uv where it asks only for Python packages, in PyPI's words."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import yaml
from packaging.requirements import InvalidRequirement, Requirement

from ...errors import EnvironmentFailed, ProjectError
from .conda_names import CHANNELS, PYPI_NAMES, is_python
from .model import Declared, Kind
from .pyproject import python_of
from .requirements import Requirements, of_lines, without_own
from .yaml_text import list_of, read_yaml

__all__ = ["CONDA_TOOLS", "conda_tool", "from_conda", "python_of_conda"]

CONDA_TOOLS = ("micromamba", "mamba", "conda", "pixi")
_SPEC = re.compile(r"(?:(?P<channel>\S+?)::)?(?P<name>[\w.-]+?)\s*(?P<version>[=<>!~ ].*)?")
_EXACT = re.compile(r"(?P<sign>=?=?)\s*(?P<version>[\w*][\w.!+*]*)(?:\s*=\s*|\s+)?(?P<build>[\w.*]+)?")
_CLAUSE = re.compile(r"(?P<sign>>=|<=|==|!=|~=|>|<|=)\s*(?P<version>[\w*][\w.!+*]*)")
_GPU = re.compile("cuda|gpu|rocm", re.IGNORECASE)


@dataclass(frozen=True)
class _File:
    origin: str
    channels: tuple[str, ...]
    specs: tuple[str, ...]
    pip: Requirements
    variables: dict[str, str]


def conda_tool() -> str | None:
    """Find a tool that builds conda environments."""
    return next((found for name in CONDA_TOOLS if (found := shutil.which(name))), None)


def from_conda(file: Path, *, folder: Path, kind: Kind | None) -> tuple[Declared, frozenset[Path]]:
    """Read the file; the second value are the files that it includes.

    Args:
        file: The file.
        folder: The project, which says which Python where the file does not.
        kind: What is to build it; by default a conda tool where there is one, else uv.

    Raises:
        ProjectError: It cannot be read.
        EnvironmentFailed: Nothing here can build it.
    """
    read = _read(file)
    tool = conda_tool()
    if kind == "conda" and tool is None:
        raise EnvironmentFailed(f"{file} needs {_tools()} to be built, and none is on the PATH; install micromamba.")
    if kind == "conda" or (kind is None and tool):
        return _for_tool(read), read.pip.files
    return _for_uv(read, folder, asked=kind == "uv"), read.pip.files


def python_of_conda(file: Path) -> str | None:
    """Give the Python that the file says; None where it says none.

    Raises:
        ProjectError: It cannot be read.
    """
    for spec in _read(file).specs:
        if found := _SPEC.fullmatch(spec):
            version = _pypi_version(found["version"] or "")
            if found["name"].lower() == "python" and version:
                return _python_words(version)
    return None


def _read(file: Path) -> _File:
    whole, origin = read_yaml(file), str(file)
    listed = list_of(whole, "dependencies", origin=origin)
    pip: list[str] = []
    specs: list[str] = []
    for item in listed:
        if isinstance(item, str):
            specs.append(item.partition(" #")[0].strip())
        elif isinstance(item, dict) and list(cast("dict[str, Any]", item)) == ["pip"]:
            pip += list_of(cast("dict[str, Any]", item), "pip", origin=origin)
        else:
            raise ProjectError(f"{origin}: dependencies lists {item!r}, which is neither a package nor a list for pip.")
    channels = tuple(str(channel) for channel in list_of(whole, "channels", origin=origin))
    variables: dict[str, str] = whole.get("variables") or {}
    return _File(origin, channels, tuple(specs), of_lines(pip, folder=file.parent, origin=origin), variables)


def _for_tool(read: _File) -> Declared:
    pip, own = without_own(read.pip.text, origin=read.origin)
    lines = [line.strip() for line in pip.splitlines() if line.strip()]
    content: dict[str, Any] = {"channels": list(read.channels), "dependencies": [*read.specs]}
    if lines:
        content["dependencies"].append({"pip": lines})
    if read.variables:
        content["variables"] = read.variables
    return Declared(
        kind="conda",
        origin=read.origin,
        with_prefect_ml=own,
        constraints=read.pip.constraints,
        conda=yaml.safe_dump(content, sort_keys=False),
    )


def _for_uv(read: _File, folder: Path, *, asked: bool) -> Declared:
    python, lines, problems = _translated(read)
    if problems:
        what = f"{read.origin} needs {', '.join(problems)}, which PyPI does not have"
        raise EnvironmentFailed(
            f"{what}, so uv cannot build it; leave the kind out, or use a conda tool."
            if asked
            else f"{what}, and none of {_tools()} is on the PATH; install micromamba, or run the project in Docker."
        )
    requirements, own = without_own("".join(f"{line}\n" for line in lines) + read.pip.text, origin=read.origin)
    declared = Declared(
        origin=read.origin,
        python=python or python_of(folder),
        requirements=requirements,
        constraints=read.pip.constraints,
        with_prefect_ml=own,
    )
    return replace(declared, notes=(_said(read),))


def _translated(read: _File) -> tuple[str | None, list[str], list[str]]:
    """Give the Python, PyPI's words for the packages, and what PyPI does not have."""
    python: str | None = None
    lines: list[str] = []
    problems = [f"the channel {name}" for name in read.channels if not _is_general(name)]
    problems += ["variables that conda sets"] if read.variables else []
    for spec in read.specs:
        found = _SPEC.fullmatch(spec)
        version = _pypi_version(found["version"] or "") if found else None
        name = found["name"].lower() if found else ""
        if found is None or version is None or not _is_general(found["channel"] or "defaults") or not is_python(name):
            problems.append(spec)
        elif name == "python":
            python = _python_words(version)
        elif _is_requirement(line := PYPI_NAMES.get(name, name) + version):
            lines.append(line)
        else:
            problems.append(spec)
    return python, lines, problems


def _python_words(version: str) -> str | None:
    """Spell `==3.8.*` as people do, and as uv does: `3.8`."""
    return (version if "," in version else version.removeprefix("==").removesuffix(".*")) or None


def _pypi_version(text: str) -> str | None:
    """Spell a conda version as PyPI does: `=1.2` as `==1.2.*`; None where PyPI cannot, empty for any."""
    text = text.strip()
    if text in ("", "*", "=*"):
        return ""
    if found := _EXACT.fullmatch(text):
        return _exact(found["sign"], found["version"], found["build"] or "")
    clauses = [_CLAUSE.fullmatch(clause.strip()) for clause in text.split(",")]
    spelt = [
        _exact("=", found["version"], "") if found["sign"] == "=" else _clause(found) for found in clauses if found
    ]
    return ",".join(part for part in spelt if part) if len(spelt) == len(clauses) and all(spelt) else None


def _exact(sign: str, version: str, build: str) -> str | None:
    if _GPU.search(build) or version.rstrip("*").rstrip(".").count("*") or re.search(r"[^.]\*$", version):
        return None
    if version.endswith(".*"):
        return f"=={version}"
    return f"=={version}.*" if sign == "=" and not build else f"=={version}"


def _clause(found: re.Match[str]) -> str:
    version = found["version"]
    return found["sign"] + (version if found["sign"] in ("==", "!=") else version.removesuffix(".*"))


def _is_general(channel: str) -> bool:
    return channel.rstrip("/").removesuffix("/linux-64").rpartition("/")[2].lower() in CHANNELS


def _is_requirement(line: str) -> bool:
    try:
        Requirement(line)
    except InvalidRequirement:
        return False
    return True


def _said(read: _File) -> str:
    found = [match for spec in read.specs if (match := _SPEC.fullmatch(spec))]
    names = [match["name"].lower() for match in found]
    renamed = [f"{name} as {PYPI_NAMES[name]}" for name in names if PYPI_NAMES.get(name, name) != name]
    builds = [
        match["name"] for match in found if (exact := _EXACT.fullmatch(match["version"] or "")) and exact["build"]
    ]
    said = f"{read.origin} asks for Python packages only, so uv builds it with those of PyPI"
    said += f"; {', '.join(renamed)}" if renamed else ""
    return said + (f"; without conda's builds of {', '.join(builds)}." if builds else ".")


def _tools() -> str:
    return f"{', '.join(CONDA_TOOLS[:-1])} or {CONDA_TOOLS[-1]}"
