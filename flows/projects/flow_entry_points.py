"""Which flows a project offers, found without running any of its code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ProjectError

__all__ = ["EntryPoint", "find_entry_point"]

_DECORATORS = ("flow", "tracked_flow")


@dataclass(frozen=True)
class EntryPoint:
    """One flow of a project.

    Attributes:
        name: Name of its deployment, or of its function.
        path: Prefect's word for where it is: `train.py:digits` or `package.module.digits`.
        params: Values that its deployment gives to params.
    """

    name: str
    path: str
    params: dict[str, Any] = field(default_factory=dict[str, Any])


def find_entry_point(folder: Path, name: str = "main") -> EntryPoint:
    """Find a flow by the name of its deployment, of its function, or by `file.py:function`.

    Args:
        folder: The project.
        name: What to find; "main" is also the only flow of a project that has one.

    Raises:
        ProjectError: The project has no such flow, or none at all.
    """
    deployed = list(_deployments(folder))
    written = list(_functions(folder))
    offered = [*deployed, *(point for point in written if point.path not in {other.path for other in deployed})]
    if not offered:
        raise ProjectError(
            f"The project {folder} has no flow: decorate a function in one of its .py files"
            " with `@tracked_flow`, or name one as an entrypoint in its prefect.yaml."
        )
    for point in [*deployed, *written, *_named(folder, name)]:
        if name in (point.name, point.path):
            return point
    if name == "main" and len({point.path for point in offered}) == 1:
        return offered[0]
    names = ", ".join(sorted({point.name for point in offered}))
    raise ProjectError(f"The project {folder} has no entry point {name!r}; it has {names}.")


def _deployments(folder: Path) -> Iterator[EntryPoint]:
    for deployment in _listed(folder / "prefect.yaml"):
        path = deployment.get("entrypoint")
        if path:
            given: dict[str, Any] = deployment.get("parameters") or {}
            params = {key: value for key, value in given.items() if "{{" not in str(value)}
            yield EntryPoint(str(deployment.get("name") or path), str(path), params)


def _listed(file: Path) -> list[dict[str, Any]]:
    import yaml

    if not file.is_file():
        return []
    try:
        whole: dict[str, Any] = yaml.safe_load(file.read_text()) or {}
        listed: list[dict[str, Any]] = whole.get("deployments") or []
        return [dict(deployment) for deployment in listed]
    except yaml.YAMLError as error:
        raise ProjectError(f"{file} is not YAML ({' '.join(str(error).split())}); mend the file.") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ProjectError(f"{file} has no list of deployments; see Prefect's documentation of that file.") from error


def _functions(folder: Path) -> Iterator[EntryPoint]:
    for file in sorted(folder.glob("*.py")):
        yield from _flows_in(file, file.name)


def _named(folder: Path, name: str) -> Iterator[EntryPoint]:
    """Look into the file that `file.py:function` names, which may be in a sub-folder."""
    path = name.rpartition(":")[0]
    if path.endswith(".py") and (folder / path).is_file():
        yield from _flows_in(folder / path, path)


def _flows_in(file: Path, path: str) -> Iterator[EntryPoint]:
    try:
        tree = ast.parse(file.read_text())
    except (SyntaxError, ValueError) as error:
        raise ProjectError(f"{file} is not Python ({error}); mend the file.") from error
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(_makes_flow, node.decorator_list)):
            yield EntryPoint(node.name, f"{path}:{node.name}")


def _makes_flow(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
    return name in _DECORATORS
