"""Which flows a project offers, found without running any of its code."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ...errors import ProjectError
from .model import EntryPoint
from .yaml_files import load_yaml

__all__ = ["deployed_flows", "flows_in", "written_flows"]

_DECORATORS = ("flow", "tracked_flow")
_LARGEST = 1024 * 1024  # bytes of a source file that is searched


def deployed_flows(folder: Path) -> Iterator[EntryPoint]:
    """Give the flows that a project's `prefect.yaml` deploys, with the values that it gives them.

    Raises:
        ProjectError: The file cannot be read, or has no list of deployments.
    """
    file = folder / "prefect.yaml"
    if not file.is_file():
        return
    for deployment in _deployments(file):
        path = deployment.get("entrypoint")
        if path:
            given: dict[Any, Any] = deployment.get("parameters") or {}
            if type(given) is not dict:
                raise ProjectError(f"{file}: the parameters of a deployment must be a mapping of names to values.")
            # What Prefect fills in when it deploys has no value yet.
            values = {str(key): value for key, value in given.items() if not _is_templated(value)}
            yield EntryPoint(str(deployment.get("name") or path), flow=str(path), given=values)


def written_flows(folder: Path) -> Iterator[EntryPoint]:
    """Give the flow functions in the `.py` files directly in a project; a file that is no Python has none.

    They are named after their functions; where something else goes by such a name, after file and function.
    """
    found = [point for file in sorted(folder.glob("*.py")) for point in _flows_if_python(folder, file.name)]
    names = Counter(name for point in found for name in point.flow_names)
    for point in found:
        yield point if names[point.name] == 1 else replace(point, name=point.flow or point.name)


def flows_in(folder: Path, path: str) -> list[EntryPoint]:
    """Give the flow functions of one file.

    Args:
        folder: The project.
        path: The file's path in it.

    Raises:
        ProjectError: It is not Python.
    """
    file = folder / path
    try:
        if not file.is_file() or file.stat().st_size > _LARGEST:
            return []
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ProjectError(f"{file} is not Python ({error}); mend the file.") from error
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [
        EntryPoint(node.name, flow=f"{path}:{node.name}", flow_name=_name_in_prefect(node))
        for node in functions
        if any(map(_makes_flow, node.decorator_list))
    ]


def _flows_if_python(folder: Path, path: str) -> list[EntryPoint]:
    try:
        return flows_in(folder, path)
    except ProjectError:
        return []  # it may be a script of an older Python, which the project's environment can run


def _deployments(file: Path) -> list[dict[str, Any]]:
    try:
        whole: dict[str, Any] = load_yaml(file) or {}
        listed: list[dict[str, Any]] = whole.get("deployments") or []
        return [dict(deployment) for deployment in listed]
    except (AttributeError, TypeError, ValueError) as error:
        raise ProjectError(f"{file} has no list of deployments; see Prefect's documentation of that file.") from error


def _is_templated(value: Any, depth: int = 20) -> bool:
    if isinstance(value, str):
        return "{{" in value
    if not depth or not isinstance(value, dict | list):
        return False
    whole = cast("dict[Any, Any] | list[Any]", value)
    inner = whole.values() if isinstance(whole, dict) else whole
    return any(_is_templated(item, depth - 1) for item in inner)


def _makes_flow(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
    return name in _DECORATORS


def _name_in_prefect(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Give the name that a flow's decorator says, where that is plain text; else Prefect's own for the function."""
    called = [one for one in function.decorator_list if isinstance(one, ast.Call) and _makes_flow(one)]
    given = [word.value for one in called for word in one.keywords if word.arg == "name"]
    said = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value]
    return said[0] if said else function.name.replace("_", "-")
