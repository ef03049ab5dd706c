"""What lies behind the address of an input: how to copy it here, and what tells that it has changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from ....errors import ArtifactError, PrefectMLError, ProjectError
from ....settings import Settings, storage_options
from ....store import artifacts
from ....store.artifacts.faults import retried
from ....store.artifacts.files import open_files
from ....tasks.addresses import without_credentials

__all__ = ["Remote", "remote_of"]

# By one of these a file system tells one state of a file from the next; a size alone would not.
_STATES = (
    "ETag", "etag", "Content-MD5", "md5", "md5Hash", "sha", "CRC", "Last-Modified", "LastModified", "last_modified",
    "mtime", "modify", "updated", "created",
)  # fmt: skip
_PATIENCE = 5.0  # seconds for the first look: a wrong host should be told soon


@dataclass(frozen=True)
class Remote:
    """An input somewhere else.

    Attributes:
        shown: Its address without credentials.
        name: What its copy is called.
        state: Gives a text that changes when it changes; None where nothing tells.
        copy: Copies it to a path that is not there yet, the path of the file or folder.
    """

    shown: str
    name: str
    state: Callable[[], str | None]
    copy: Callable[[Path], None]


def remote_of(uri: str, settings: Settings) -> Remote:
    """Find out how an input is reached.

    Raises:
        ProjectError: Nothing knows such addresses.
    """
    if uri.startswith("runs:/"):
        return _of_run(uri, settings)
    if uri.startswith("models:/"):
        return _of_model(uri, settings)
    name = PurePosixPath(unquote(urlsplit(uri).path).rstrip("/")).name or urlsplit(uri).netloc.rpartition("@")[2]
    shown = without_credentials(uri)
    # Proxies and logins come from where other programs look for them, too.
    more: dict[str, Any] = {"client_kwargs": {"trust_env": True}} if _is_http(uri) else {}
    options = {**more, **storage_options(uri, settings=settings)}
    copy = _copy_http if _is_http(uri) else _copy_url
    return Remote(shown, _plain(name), lambda: _state(uri, shown, options), lambda to: copy(uri, to, options))


def _of_run(uri: str, settings: Settings) -> Remote:
    from ....store.engine import open_store
    from ....store.run_artifacts import download_artifacts, list_artifacts

    found = re.fullmatch(r"runs:/+([^/]+)(?:/(.*?))?/*", uri)
    if found is None:
        raise ProjectError(f"{uri!r} names no run; use runs:/<run id>/<path>.")
    run_id, path = found[1], found[2] or ""

    def state() -> str | None:
        listed = list_artifacts(run_id, path, store=open_store(settings))
        digests = [(one.path, one.digest) for one in listed]
        return None if None in dict(digests).values() else _digest(digests)

    def copy(to: Path) -> None:
        folder = to.with_name(f"{to.name}.files")
        download_artifacts(run_id, path, to=folder, store=open_store(settings)).rename(to)

    return Remote(uri, _plain(PurePosixPath(path).name or run_id), state, copy)


def _of_model(uri: str, settings: Settings) -> Remote:
    from ....registry.uris import resolve_model_uri
    from ....store.engine import open_store

    def copy(to: Path) -> None:
        artifacts.fetch(resolve_model_uri(uri, store=open_store(settings)).uri, to)

    name = _plain("-".join(uri.removeprefix("models:").strip("/").split("/")))
    return Remote(uri, name, lambda: resolve_model_uri(uri, store=open_store(settings)).digest, copy)


def _state(uri: str, shown: str, options: Mapping[str, Any]) -> str | None:
    import fsspec  # pyright: ignore[reportMissingTypeStubs]

    def look() -> Mapping[str, Any]:
        opened = cast("tuple[Any, Any]", fsspec.core.url_to_fs(uri, **options))  # pyright: ignore[reportUnknownMemberType]
        files, path = opened
        files.invalidate_cache()
        return {path: files.info(path)} if _is_http(uri) else files.find(path.rstrip("/"), detail=True)

    try:
        found: Mapping[str, Any] = retried(look, patience=_PATIENCE, action=f"read {shown}")
    except ArtifactError as error:
        raise _refusal(error, shown) from error
    listed = [(name, info.get("size"), _told(info)) for name, info in sorted(found.items())]
    return _digest(listed) if listed and all(told for _, _, told in listed) else None


def _told(info: Mapping[str, Any]) -> str:
    return next((str(info[key]) for key in _STATES if info.get(key)), "")


def _copy_url(uri: str, to: Path, options: Mapping[str, Any]) -> None:
    artifacts.fetch(uri, to, options=options)


def _copy_http(uri: str, to: Path, options: Mapping[str, Any]) -> None:
    # Behind such an address is one file; looking for others would follow the links in it.
    files, place = open_files(uri, options=options)
    try:
        files.fetch(place, to, lambda _: None)
    except ArtifactError as error:
        raise _refusal(error, without_credentials(uri)) from error


def _refusal(error: ArtifactError, shown: str) -> PrefectMLError:
    """Say why nothing came from a server: fsspec says of each reason that the file is not there."""
    from aiohttp import ClientConnectionError, ClientResponseError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ClientResponseError) and cause.status in (401, 403):
            return ProjectError(f"{shown} needs authentication; give an address that you may read.")
        if isinstance(cause, ClientResponseError) and cause.status < 500:
            return ProjectError(f"There is nothing at {shown} (status {cause.status}); check the address.")
        if isinstance(cause, ClientConnectionError | ClientResponseError):
            reason = cause.status if isinstance(cause, ClientResponseError) else " ".join(str(cause).split())
            return ProjectError(f"{shown} cannot be reached ({reason}); check the host and the network.")
        cause = cause.__cause__
    if isinstance(error.__cause__, FileNotFoundError):
        return ProjectError(f"There is nothing at {shown}; check the address.")
    return error


def _is_http(uri: str) -> bool:
    return uri.lower().startswith(("http://", "https://"))


def _plain(name: str) -> str:
    # Programs go by the ending of a name, and ours must not be hidden or a path.
    return re.sub(r"[^\w.+=@ -]+", "_", name).lstrip(".")[-150:] or "data"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
