"""Loads a model in a clean process, lets it predict once, and says which packages it used."""

from __future__ import annotations

import ast
import json
import pickletools
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path

from .flavors import flavor_in, settings_of
from .model import Opened, open_model
from .protocol import read_request

__all__ = ["probe"]

# prefect-ml is never needed to load a model; the others belong to an interpreter, not to a model.
_NEVER = frozenset({"prefect-ml", "pip", "setuptools", "wheel", "uv"})


def probe(folder: str, request: str) -> None:
    """Print the packages that the model needs, as JSON: name to version, empty where no index has it.

    That is: what its files name and what this depends on, as far as it was imported. What else was imported was an
    option that some library tries because it happens to be installed here.
    """
    root = Path(folder)
    opened = open_model(root)
    if body := Path(request).read_bytes():
        asked = read_request(body, "application/json")
        opened.predict(asked.data, asked.params)
    imported = _imported(root.resolve())
    needed = _with_dependencies({imported[top] for top in _named(root, opened) & set(imported)}, set(imported.values()))
    print(json.dumps({name: _version(name) for name in needed}))  # noqa: T201 - read by the parent process


def _imported(root: Path) -> dict[str, str]:
    """Map the top-level modules that are imported to the packages that hold them; what the model brings needs none."""
    tops = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
    tops -= {top for top in tops if any(Path(place).is_relative_to(root) for place in _places(top))}
    owners = packages_distributions()
    names = {top: _normal(owners[top][0]) for top in tops if owners.get(top)}
    return {top: name for top, name in names.items() if name not in _NEVER}


def _places(top: str) -> list[str]:
    module = sys.modules.get(top)
    file = getattr(module, "__file__", None)
    return [file] if file else list(getattr(module, "__path__", ()))


def _named(root: Path, opened: Opened) -> set[str]:
    listed = opened.descriptor.flavors
    flavor = flavor_in(listed)
    found = set(flavor.packages(root, settings_of(flavor, listed)))
    if opened.descriptor.signature and opened.descriptor.signature.columns:
        found.add("pandas")
    for path in root.rglob("*.pkl"):
        found.update(_in_pickle(path.read_bytes()))
    for path in (root / (opened.descriptor.code or "code")).rglob("*.py"):
        found.update(_in_source(path.read_text()))
    return {name.partition(".")[0] for name in found}


def _in_pickle(data: bytes) -> Iterator[str]:
    # Classes, modules and the names in the code of functions all stand in a pickle as text.
    for _, argument, _ in pickletools.genops(data):
        if isinstance(argument, str) and len(argument) < 200:
            yield from argument.split(" ")[:1]


def _in_source(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _with_dependencies(roots: set[str], imported: set[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(need for need in _requires(name) if need in imported)
    return found


def _requires(name: str) -> Iterator[str]:
    for line in distribution(name).requires or ():
        if "extra ==" not in line and (match := re.match(r"[A-Za-z0-9._-]+", line)):
            yield _normal(match.group())


def _version(name: str) -> str:
    found = distribution(name)
    # What follows a plus is a build of somebody's own, which no index has; any build of the version will do.
    return "" if _is_local(found) else found.version.partition("+")[0]


def _is_local(found: Distribution) -> bool:
    origin = found.read_text("direct_url.json")
    return origin is not None and str(json.loads(origin).get("url", "")).startswith("file:")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
