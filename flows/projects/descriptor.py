"""Reading a project, whatever describes it: its `MLproject` file, Prefect's files, or nothing but its scripts."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ...errors import ProjectError
from .flow_entry_points import deployed_flows, written_flows
from .mlproject import Description, read_mlproject
from .model import EntryPoint, Project, script_entry_point

__all__ = ["find_descriptor", "read_project"]


def read_project(folder: Path, *, deployments: bool = True, address: str = "") -> Project:
    """Read a project without running any of its code.

    Args:
        folder: The project. What it offers comes from its `MLproject` file, then from the deployments in its
            `prefect.yaml`, then from the flows in its `.py` files; of two with one name the first counts. One that has
            none of these offers the scripts in the folder.
        deployments: Whether `prefect.yaml` counts.
        address: How messages name it; by default they name the folder.

    Raises:
        ProjectError: It is no folder, or one of those files is wrong; the message names file, line and column.
    """
    folder = folder.absolute()
    path = find_descriptor(folder)
    described = read_mlproject(path) if path else Description()
    offered: dict[str, EntryPoint] = dict(described.entry_points)
    for point in (*(deployed_flows(folder) if deployments else ()), *written_flows(folder)):
        offered.setdefault(point.name, point)
    scripts = _scripts(folder)
    return Project(
        folder=folder,
        name=described.name.strip() or folder.name,
        entry_points=offered or {script.name: script for script in scripts},
        descriptor=path,
        environment=described.environment,
        scripts=tuple(script.name for script in scripts),
        address=address,
    )


def find_descriptor(folder: Path) -> Path | None:
    """Find a folder's `MLproject` file, in upper or lower case or any mixture; None where there is none.

    Raises:
        ProjectError: There are two that differ in case, or the folder cannot be listed.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.name.lower() == "mlproject")
    except NotADirectoryError as error:
        raise ProjectError(f"{folder} is a file, not a project; give the folder.") from error
    except FileNotFoundError as error:
        raise ProjectError(f"There is no project folder {str(folder)!r}; give the path of a local folder.") from error
    except (OSError, ValueError) as error:
        raise ProjectError(f"The project folder {str(folder)!r} cannot be read ({error}).") from error
    if len(found) > 1:
        raise ProjectError(f"{folder} has {' and '.join(path.name for path in found)}; keep one of them.")
    return found[0] if found else None


def _scripts(folder: Path) -> list[EntryPoint]:
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    made = (script_entry_point(PurePosixPath(name)) for name in names)
    return [point for point in made if point is not None]
