"""The house plan: which room may import which, and what the package lists."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "environments": set(),
    "store": set(),
    "registry": {"store"},
    "serving": {"environments", "store", "registry"},
    "reports": {"store", "registry"},
    "blocks": {"environments", "store", "serving"},
    "tasks": {"environments", "store", "registry", "serving", "reports", "blocks"},
    "flows": {"environments", "store", "registry", "serving", "reports", "blocks", "tasks"},
}
ROOMS = {*MAY_IMPORT, "cli"}


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported_rooms(path: Path) -> set[str]:
    package = path.relative_to(ROOT).parts[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            if node.level:
                base = list(package[: len(package) - (node.level - 1)])
                target = base + module
            elif module[:1] == ["prefect_ml"]:
                target = module[1:]
            else:
                continue
            found |= {target[0]} if target else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {name[1] for name in names if name[0] == "prefect_ml" and len(name) > 1}
    return found & ROOMS


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_point_down_only(room: str) -> None:
    for path in sources(room):
        above = imported_rooms(path) - MAY_IMPORT[room] - {room}
        assert not above, f"{path.relative_to(ROOT)} imports {above}"


@pytest.mark.parametrize("file", ["errors.py", "settings.py", "running.py", "processes.py", "locks.py"])
def test_root_files_import_no_room(file: str) -> None:
    assert not imported_rooms(ROOT / file)


def test_the_package_list_is_the_tree() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("__init__.py")}
    expected = {"prefect_ml", *(f"prefect_ml.{'.'.join(folder.parts)}" for folder in folders)}
    assert set(table["packages"]) == expected
    assert set(table["package-dir"]) == expected


def test_nobody_imports_the_bare_rooms() -> None:
    for path in ROOT.rglob("*.py"):
        if {".venv", "build", ".types"} & set(path.relative_to(ROOT).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert not {name.split(".")[0] for name in names} & ROOMS, path
