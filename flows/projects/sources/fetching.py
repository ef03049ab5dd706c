"""Fetching a project: one function for every kind of address."""

from __future__ import annotations

import json
from pathlib import Path

from ....environments.docker import FACTS
from ....errors import ProjectError
from ....settings import Settings
from .address import Address, read_address
from .archives import unpacked
from .cache import subfolder_of
from .credentials import Credentials, login_for
from .inputs import digest_of, obtain
from .model import Fetched, Report, silent
from .repositories import tree_of

__all__ = ["fetch"]


def fetch(
    uri: str | Path,
    *,
    version: str | None = None,
    settings: Settings,
    report: Report | None = None,
    credentials: Credentials = None,
) -> Fetched:
    """Bring a project to this machine.

    Args:
        uri: A folder, which is used in place; a Git repository over https, ssh or file; a `.zip` on this machine or
            behind a URL; or a folder behind any URL of fsspec, such as S3. `#sub/folder` behind it names a part of it.
        version: Branch, tag or commit of a repository, or of the repository that a local folder lies in.
        settings: Where the cache is.
        report: Told each step that may take long, in one line.
        credentials: For a private repository over https: the name of a Prefect block such as
            `github-credentials/mine`, such a block, or an object with `token` or `username` and `password`.

    Raises:
        ProjectError: Nothing is there, it cannot be reached or read, or has no such version or sub-folder.
    """
    try:
        address = read_address(uri)
    except PermissionError as error:
        raise ProjectError(f"{error.filename} cannot be read; make the project readable.") from error
    report = report or silent
    if address.kind == "git":
        return _from_repository(address, version, credentials, settings, report)
    if credentials is not None:
        raise ProjectError(f"{address.shown} is no remote repository and takes no credentials; leave them out.")
    if address.kind == "folder":
        return _from_folder(address, version, settings, report)
    if version is not None:
        raise ProjectError(f"{address.shown} has no versions; leave the version out.")
    return _from_zip(address, settings, report) if address.kind == "zip" else _from_url(address, settings, report)


def _from_repository(
    address: Address, version: str | None, credentials: Credentials, settings: Settings, report: Report
) -> Fetched:
    login = address.login if credentials is None else login_for(credentials, address.location)
    tree = tree_of(address, version, login=login, settings=settings, report=report)
    return Fetched(
        folder=subfolder_of(tree.folder, address.subfolder, f"{address.shown} at {tree.commit[:12]}"),
        root=tree.folder,
        uri=address.uri,
        subfolder=address.subfolder,
        version=version,
        commit=tree.commit,
        branch=tree.branch,
        remote=address.shown,
        dirty=False,
    )


def _from_folder(address: Address, version: str | None, settings: Settings, report: Report) -> Fetched:
    from ....tasks.capture.code_state import code_state

    root = Path(address.location)
    if version is None:
        folder = subfolder_of(root, address.subfolder, address.shown)
        if packed := _from_image(folder):
            return packed
        state = code_state(folder, ignored=[settings.home])
        return Fetched(
            folder=folder,
            root=root,
            uri=address.uri,
            subfolder=address.subfolder,
            commit=state.commit if state else None,
            branch=state.branch if state else None,
            remote=state.remote if state else None,
            dirty=state.dirty if state and state.commit else None,
            in_place=True,
            inside=_inside(state.root, folder) if state else None,
        )
    state = code_state(root, ignored=[settings.home])
    if state is None:
        raise ProjectError(f"The folder {root} is in no Git repository and has no versions; leave the version out.")
    tree = tree_of(Address("git", str(state.root)), version, login=None, settings=settings, report=report)
    subfolder = _inside(state.root, root, address.subfolder)
    return Fetched(
        folder=subfolder_of(tree.folder, subfolder, f"{state.root} at {tree.commit[:12]}"),
        root=tree.folder,
        uri=address.uri,
        subfolder=subfolder,
        version=version,
        commit=tree.commit,
        branch=tree.branch,
        remote=state.remote,
        dirty=False,
    )


def _inside(repository: Path, folder: Path, subfolder: str = "") -> str:
    inside = folder.resolve().relative_to(repository.resolve()) / subfolder
    return "" if inside == Path() else inside.as_posix()


def _from_image(folder: Path) -> Fetched | None:
    """Give a project that lies in an image, as whoever built it has said where it comes from."""
    try:
        said = json.loads((folder / FACTS).read_text())
        return Fetched(folder=folder, root=folder, in_place=True, packed=True, **said)
    except (OSError, ValueError, TypeError):
        return None


def _from_zip(address: Address, settings: Settings, report: Report) -> Fetched:
    local = Path(address.location)
    if local.is_absolute():
        archive, digest = local, digest_of(local)
    else:
        found = obtain(address.location, settings=settings, report=report)
        archive, digest = found.path, found.digest
    root = unpacked(archive, digest, name=address.name, shown=address.shown, settings=settings)
    folder = subfolder_of(root, address.subfolder, address.shown)
    return Fetched(folder=folder, root=root, uri=address.uri, subfolder=address.subfolder, digest=digest)


def _from_url(address: Address, settings: Settings, report: Report) -> Fetched:
    found = obtain(address.location, settings=settings, report=report)
    if not found.path.is_dir():
        raise ProjectError(f"{address.shown} is a file; give the folder of the project, or a .zip of it.")
    folder = subfolder_of(found.path, address.subfolder, address.shown)
    return Fetched(folder=folder, root=found.path, uri=address.uri, subfolder=address.subfolder, digest=found.digest)
