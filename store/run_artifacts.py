"""Reading what runs have logged, by the run's id: their files, and their models under the names they gave them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from ..errors import ArtifactError
from .artifacts import Artifact, check_relative, join
from .artifacts.paths import below
from .artifacts.reading import Survey, copy_out, survey
from .engine import Store, current_store
from .models import logged_models
from .queries import get_run

__all__ = ["Artifact", "download_artifacts", "list_artifacts"]


def list_artifacts(run_id: str, path: str = "", *, store: Store | None = None) -> list[Artifact]:
    """Give the files that the latest attempt of a run has logged, those of its models among them, sorted by path.

    Args:
        run_id: The run.
        path: A folder or file below the run's artifacts; all of them by default.
        store: Another store than the one that the settings name.

    Raises:
        RunNotFound: No run has this id.
        ArtifactError: The path leads out of the run's artifacts, or they cannot be reached.
    """
    places = _places(run_id, check_relative(path) if path else "", current_store(store))
    found = {
        name: replace(one, path=name)
        for seen, prefix in places
        for one in seen.found
        if (name := below(prefix, one.path))
    }
    return [found[name] for name in sorted(found)]


def download_artifacts(
    run_id: str, path: str = "", *, to: str | Path | None = None, store: Store | None = None
) -> Path:
    """Copy what the latest attempt of a run has logged to a local folder; each file is checked against its sha256.

    Args:
        run_id: The run.
        path: A folder or file below the run's artifacts; all of them by default.
        to: The folder that gets the file, or the content of the folder; by default a folder named like the run's id,
            in the working directory.
        store: Another store than the one that the settings name.

    Returns:
        The copy of the file, or the folder.

    Raises:
        RunNotFound: No run has this id.
        ArtifactError: There is nothing at the path, it leads out of the run's artifacts, or cannot be reached.
        IntegrityError: A file is not the one that was logged.
    """
    path = check_relative(path) if path else ""
    folder = Path.cwd() / quote(run_id, safe="") if to is None else Path(to)
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder} is a file; give a folder to download to.")
    places = [place for place in _places(run_id, path, current_store(store)) if place[0].exists]
    if not places:
        what = f"nothing at {path!r}" if path else "no artifacts"
        raise ArtifactError(f"Run {run_id} has logged {what}; `prefect-ml artifacts list` shows what a run has logged.")
    for seen, prefix in places:
        copy_out(seen, {one.path: folder / _within(path, below(prefix, one.path)) for one in seen.found})
    is_file = any(seen.is_file for seen, _ in places)
    return folder / PurePosixPath(path).name if is_file else folder


def _places(run_id: str, path: str, store: Store) -> list[tuple[Survey, str]]:
    """Look at every place that holds a part of what lies at a path, each with its own path within the run."""
    run = get_run(run_id, store=store)
    places = [(survey(join(run.artifact_uri, path), root=run.artifact_uri), "")]
    for model in logged_models(run.id, run.attempt, store=store):
        if _is_within(model.path, path):
            places.append((survey(model.uri, root=model.uri), model.path))
        elif _is_within(path, model.path):
            inside = path.removeprefix(f"{model.path}/")
            places.append((survey(join(model.uri, inside), root=model.uri), model.path))
    return places


def _is_within(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _within(folder: str, path: str) -> str:
    """Give a path relative to the folder asked for; a file asked for goes by its name."""
    return check_relative(PurePosixPath(path).name if path == folder else path[len(folder) :].lstrip("/"))
