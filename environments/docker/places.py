"""What of this machine a container gets: folders under the same path, and the variables by which code finds things."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ...errors import EnvironmentFailed
from .declared import DeclaredImage

__all__ = ["mounts", "variables", "volumes"]

_ALWAYS = ("PREFECT_ML_", "PREFECT_API_", "PREFECT_CLIENT_", "PREFECT_LOGGING_", "PREFECT_SERVER_EPHEMERAL_")
# What opens the place where artifacts are, by the scheme of its URL.
_CREDENTIALS = {
    "s3": ("AWS_", "FSSPEC_S3"),
    "s3a": ("AWS_", "FSSPEC_S3"),
    "gs": ("GOOGLE_", "CLOUDSDK_", "FSSPEC_GS", "FSSPEC_GCS"),
    "gcs": ("GOOGLE_", "CLOUDSDK_", "FSSPEC_GS", "FSSPEC_GCS"),
    "az": ("AZURE_", "FSSPEC_AZ", "FSSPEC_ABFS"),
    "abfs": ("AZURE_", "FSSPEC_AZ", "FSSPEC_ABFS"),
    "abfss": ("AZURE_", "FSSPEC_AZ", "FSSPEC_ABFS"),
}
_FILES = (
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CA_BUNDLE",
    "GOOGLE_APPLICATION_CREDENTIALS",
)
_AWS_FILES = {"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials"}


def variables(declared: DeclaredImage, environ: Mapping[str, str], caller: Mapping[str, str]) -> dict[str, str]:
    """Choose what a container's code gets of the variables that a command is started with.

    The caller's own variables (PATH, HOME and the like) describe this machine, so they stay out: what goes in is what
    was set for this command, what finds the store and the Prefect API, the credentials of the place of artifacts, and
    what docker_env names.

    Args:
        declared: Its docker_env.
        environ: What the command is started with.
        caller: What of it is just the caller's own.
    """
    root = environ.get("PREFECT_ML_ARTIFACT_ROOT", "")
    prefixes = _ALWAYS + _CREDENTIALS.get(root.partition("://")[0] if "://" in root else "", ())
    chosen = {key: value for key, value in environ.items() if key.startswith(prefixes) or caller.get(key) != value}
    chosen.pop("PATH", None)
    if "AWS_" in prefixes:
        chosen = {**_aws_files(), **chosen}
    user = _user()
    chosen = {"USER": user, "LOGNAME": user, **chosen}
    named = {name: environ.get(name) if value is None else value for name, value in declared.environment}
    return {**chosen, **{name: value for name, value in named.items() if value is not None}}


def mounts(folder: Path, environ: Mapping[str, str], reachable: Sequence[Path]) -> list[Any]:
    """Give the mounts of a container: each place under its own path.

    Args:
        folder: The project; writable.
        environ: The container's variables, which say where the home, the store and the artifacts are; these are
            writable, and made where they are missing.
        reachable: More places; read-only unless they lie in one that is writable, or in the temporary folder, where
            answers are left.

    Raises:
        EnvironmentFailed: A folder cannot be made.
    """
    from docker.types import Mount

    writable = dict.fromkeys([folder.absolute(), *_made(_kept(environ)), *_sockets(environ)])
    temporary = Path(tempfile.gettempdir()).absolute()
    others = dict.fromkeys(path.absolute() for path in [*reachable, *_credential_files(environ)])
    writable |= {path: None for path in others if path != temporary and path.is_relative_to(temporary)}
    only_read = [path for path in others if not any(path.is_relative_to(place) for place in writable)]
    return [
        *(Mount(str(path), str(path), type="bind") for path in writable),
        *(Mount(str(path), str(path), type="bind", read_only=True) for path in only_read),
    ]


def volumes(declared: DeclaredImage) -> list[str]:
    """Give the volumes of docker_env; relative folders are those of the project.

    Raises:
        EnvironmentFailed: A folder of this machine does not exist.
    """
    return [_volume(text, declared) for text in declared.volumes]


def _volume(text: str, declared: DeclaredImage) -> str:
    host, _, inside = text.partition(":")
    if not host.startswith(("/", ".", "~")):
        return text  # the name of a volume that Docker keeps
    path = (declared.folder / Path(host).expanduser()).resolve()
    if not path.exists():
        raise EnvironmentFailed(f"{declared.origin} has the volume {text!r}, and there is no {path}; make it first.")
    return f"{path}:{inside}"


def _kept(environ: Mapping[str, str]) -> Iterator[Path]:
    """Say where the home, a store in SQLite, local artifacts and journals are."""
    if home := environ.get("PREFECT_ML_HOME"):
        yield Path(home)
    store = environ.get("PREFECT_ML_STORE_URL", "")
    if store.startswith("sqlite") and (file := unquote(store.partition(":///")[2].partition("?")[0])):
        yield Path(file).parent  # its write-ahead log lies beside it
    root = environ.get("PREFECT_ML_ARTIFACT_ROOT", "")
    if root.startswith("file://") or (root and "://" not in root):
        yield Path(root.removeprefix("file://"))
    if journal := environ.get("PREFECT_ML_JOURNAL"):
        yield Path(journal)


def _made(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        path = place.expanduser().absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFailed(f"The folder {path} cannot be made ({error.strerror}).") from error
        yield path


def _sockets(environ: Mapping[str, str]) -> Iterator[Path]:
    """Give the folder of the socket of a PostgreSQL that listens on one."""
    for host in parse_qs(urlsplit(environ.get("PREFECT_ML_STORE_URL", "")).query).get("host", []):
        if host.startswith("/") and Path(host).is_dir():
            yield Path(host)


def _credential_files(environ: Mapping[str, str]) -> Iterator[Path]:
    for name in _FILES:
        if (text := environ.get(name)) and (path := Path(text).expanduser()).is_file():
            yield path


def _aws_files() -> dict[str, str]:
    files = {name: Path.home() / ".aws" / file for name, file in _AWS_FILES.items()}
    return {name: str(path) for name, path in files.items() if path.is_file()}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
