"""Files and folders that a model is saved with, from wherever they lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...errors import ArtifactError, ModelError
from ...store.artifacts import fetch
from ...store.run_artifacts import download_artifacts
from ..runtime.flavors import Flavor

__all__ = ["attached"]


def attached(artifacts: Mapping[str, str | Path], flavor: Flavor, folder: Path) -> dict[str, Path]:
    """Give the local path of each artifact; what lies elsewhere is copied into `folder` first.

    Raises:
        ModelError: The flavor takes none, or a name cannot be one.
        ArtifactError: Nothing is there.
    """
    if artifacts and flavor.NAME != "python_function":
        raise ModelError(f"Flavor {flavor.NAME!r} takes no artifacts; save a python_function that loads them itself.")
    for name in artifacts:
        if Path(name).name != name or name in ("", ".", ".."):
            raise ModelError(f"{name!r} cannot be the name of an artifact; give a plain word.")
    return {name: _local(name, place, folder / name) for name, place in artifacts.items()}


def _local(name: str, place: str | Path, folder: Path) -> Path:
    address = str(place)
    last = address.rstrip("/").rpartition("/")[2]
    if address.startswith("runs:/"):
        run_id, _, path = address.removeprefix("runs:").lstrip("/").partition("/")
        return download_artifacts(run_id, path, to=folder / last)
    if "://" in address and not address.startswith("file://"):
        return fetch(address, folder / last)
    path = Path(address.removeprefix("file://"))
    if not path.exists():
        raise ArtifactError(f"{path} in artifacts={{{name!r}: ...}} does not exist; give a file or folder.")
    return path
