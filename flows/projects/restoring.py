"""What a run ran, brought back: its code with the local changes, its environment, and what it was given."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...environments import (
    Declared,
    DeclaredImage,
    declared_image_of_lock,
    declared_of,
    declared_of_lock,
    realise,
)
from ...errors import ArtifactError, EnvironmentFailed, PrefectMLError, ProjectError
from ...settings import Settings
from ...store import Run
from ...store.artifacts import fetch as fetch_artifact
from ...store.records import Source
from ...store.run_artifacts import download_artifacts
from ...tasks.capture import INPUTS, LOCK
from .descriptor import read_project
from .model import DeclaredEnvironment, EntryPoint, Project
from .ready import Asked, Ready, Report, checked_params
from .sources import Fetched, apply_patch, checkout, digest_of, fetch, run_folder

__all__ = ["Given", "Missing", "as_it_was"]

_URL = re.compile(r"[A-Za-z][\w+.-]+:/")
_HEAD = "# prefect-ml environment: "
_LEFT_OUT = re.compile(r"^# Left out: (.+)$", re.MULTILINE)


class Missing(Exception):
    """What is not there, in sentences; the verdict names it."""


@dataclass(frozen=True)
class Given:
    """What a run was given.

    Attributes:
        entry_point: What of the project was asked for.
        params: Values of its parameters.
        digests: What those of type path held.
        cwd: Where relative paths among them began.
    """

    entry_point: str
    params: Mapping[str, Any]
    digests: Mapping[str, str]
    cwd: Path


@contextmanager
def as_it_was(run: Run, settings: Settings, credentials: str | None, report: Report) -> Generator[tuple[Ready, Given]]:
    """Bring back what a run ran, in a folder of its own, and what it was given.

    Raises:
        Missing: Something without which it cannot be had again.
    """
    given = _given_of(run)
    if missing := list(_unknown(run)):
        raise Missing(*missing)
    asked = Asked(run.source.project or "", given.entry_point, run.source.commit, credentials=credentials)
    with run_folder(settings) as place:
        try:
            fetched = _fetched(run.source, settings, credentials, report)
            root = place / fetched.root.name
            folder = checkout(fetched, root)
            again = replace(fetched, folder=folder, root=root, in_place=True)
            _patch(run, again, place / ".changes.patch")
            project = read_project(folder)
            point = project.find(asked.entry_point)
            _copy_ignored(run.source, given, point, again)
            given = replace(given, params=_without_own(given, point, folder))
            if missing := list(_changed_inputs(given, point, folder)):
                raise Missing(*missing)
            declared = _declared_of(run, project)
            ready = Ready(asked, settings, again, project, point, declared)
            ready.realised(report)
            if point.command:
                checked_params(ready, given.params, report, cwd=given.cwd)
        except (ProjectError, EnvironmentFailed, ArtifactError) as error:
            raise Missing(str(error)) from error
        yield ready, given


def _given_of(run: Run) -> Given:
    try:
        recorded = json.loads(_text_of(run, INPUTS))
    except ArtifactError as error:
        raise Missing(
            f"Run {run.id} is not that of a project's entry point, so nobody knows what it takes to run it again."
        ) from error
    params, secrets = dict(recorded["params"]), list(_secrets(run, recorded))
    if missing := [name for name, text in secrets if text is None]:
        raise Missing(*(f"The value of its parameter {name!r} may be a secret, and was not kept." for name in missing))
    params |= dict(secrets)
    # A flow's run names its function.
    point = recorded.get("entry_point") or run.source.entry_point or ""
    return Given(point, params, recorded["digests"], Path(recorded["cwd"]))


def _secrets(run: Run, recorded: Mapping[str, Any]) -> Generator[tuple[str, str | None]]:
    """Give what of a deployed flow's parameters was not kept, for its names; its text where the code has logged it."""
    shown: Mapping[str, Any] = (run.source.prefect or {}).get("parameters", {})
    for name in recorded.get("hidden", ()):
        yield name, run.params.get(name) if isinstance(shown.get(name), str) else None


def _unknown(run: Run) -> Generator[str]:
    """Say what the record of a run lacks."""
    source = run.source
    if source.commit is None:
        yield f"{source.project} was in no Git repository, so nobody can tell whether its files are the same."
    elif source.dirty and not source.changes:
        yield "Its code differed from the commit, and the changes were not kept."


def _fetched(source: Source, settings: Settings, credentials: str | None, report: Report) -> Fetched:
    """Bring the commit from where the run had it, else from the remote of the repository that it lay in."""
    missing: list[str] = []
    for place, is_folder in _places(source):
        login = None if is_folder else credentials
        try:
            return fetch(place, version=source.commit, settings=settings, report=report, credentials=login)
        except ProjectError as error:
            gone = is_folder and not os.path.isdir(place.partition("#")[0])
            had = f"Its commit {source.commit} cannot be had from {place.removeprefix('git+')}: {error}"
            missing.append(f"The folder {place} is gone." if gone else had)
    raise Missing(*missing)


def _places(source: Source) -> Generator[tuple[str, bool]]:
    """Give the addresses that may have the commit of a run, and whether each is the user's own folder."""
    project, subfolder, remote = source.project or "", source.subfolder or "", source.remote
    folder, part = project.partition("#")[0], f"#{subfolder}" if subfolder else ""
    is_folder = os.path.isabs(folder) and folder != remote
    yield project, is_folder
    if not is_folder:
        return
    top = folder.removesuffix(f"/{subfolder}")
    if part and top != folder and not os.path.isdir(folder):  # the repository may have moved the project meanwhile
        yield f"{top}{part}", True
    if remote:
        # Of a path on this machine the repository counts, and not its files as they are.
        yield f"git+{Path(remote).as_uri() if os.path.isabs(remote) else remote}{part}", False


def _copy_ignored(source: Source, given: Given, point: EntryPoint, fetched: Fetched) -> None:
    """Copy defaults of type path that lie in the user's own folder and in no commit, such as data that Git ignores."""
    project, _, subfolder = (source.project or "").partition("#")
    for name in given.digests:
        default = point.parameters[name].default if name in point.parameters else None
        if not os.path.isabs(project) or default is None or given.params.get(name) != default or _URL.match(default):
            continue
        there, here = Path(project, subfolder, default), fetched.folder / default
        if there.exists() and not here.exists() and here.resolve().is_relative_to(fetched.root.resolve()):
            try:
                _copy(there, here)
            except OSError as error:
                reason = error.strerror or "not all files can be read"
                raise Missing(f"The input {name!r} cannot be copied from {there} ({reason}).") from error


def _copy(there: Path, here: Path) -> None:
    here.parent.mkdir(parents=True, exist_ok=True)
    if there.is_dir():
        shutil.copytree(there, here)
    else:
        shutil.copy2(there, here)


def _without_own(given: Given, point: EntryPoint, folder: Path) -> dict[str, Any]:
    """Leave out defaults of type path that lie in the project: they are files of its code."""
    declared = point.parameters
    own = {name for name in given.digests if name in declared and given.params[name] == declared[name].default}
    return {name: text for name, text in given.params.items() if name not in own or not (folder / text).exists()}


def _changed_inputs(given: Given, point: EntryPoint, folder: Path) -> Generator[str]:
    for name, digest in given.digests.items():
        place = given.params.get(name)
        try:
            if place is None:
                now = digest_of(str(folder / (point.parameters[name].default or "")))
            else:
                now = digest_of(place if _URL.match(place) else str(given.cwd / Path(place).expanduser()))
        except PrefectMLError as error:
            yield f"The input {name!r} is gone: {error}"
            continue
        if now != digest:
            shown = place or point.parameters[name].default
            yield f"The input {name!r} ({shown}) has changed: it had the digest {digest[:12]}, and has {now[:12]} now."


def _declared_of(run: Run, project: Project) -> Declared | DeclaredImage:
    """Read the environment that a run had from its lock."""
    lock, origin = _text_of(run, LOCK), f"the lock of run {run.id}"
    if lock.startswith(_HEAD + "docker\n"):
        said = project.environment or DeclaredEnvironment("docker_env")
        more: dict[str, Any] = {"volumes": said.volumes, "environment": said.environment}
        return declared_image_of_lock(lock, folder=project.folder, origin=origin, **more)
    if lock.startswith(_HEAD + "system\n"):
        here = declared_of(project.folder, kind="system")
        if realise(here, root=project.folder).facts().lock == lock:
            return here  # nothing has to be built: the interpreter at hand still holds the same
    return declared_of_lock(lock, origin=origin)


def _patch(run: Run, fetched: Fetched, patch: Path) -> None:
    """Bring back the local changes that the code had."""
    if run.source.dirty and run.source.changes:
        file = fetch_artifact(run.source.changes, patch)
        if left_out := _LEFT_OUT.findall(file.read_bytes().partition(b"\ndiff ")[0].decode(errors="replace")):
            raise Missing(*(f"Its local changes to {one} were not kept." for one in left_out))
        apply_patch(fetched.root, file)


def _text_of(run: Run, path: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return Path(download_artifacts(run.id, path, to=folder)).read_text()
