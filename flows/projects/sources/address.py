"""Reading addresses of projects: which kind of place each names, and which sub-folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from ....errors import ProjectError
from ....tasks.addresses import is_url, without_credentials

__all__ = ["Address", "Login", "read_address"]

Kind = Literal["folder", "git", "zip", "remote"]
_GIT_SCHEMES = ("https", "http", "ssh", "git")
_SCP = re.compile(r"(?:[\w.+-]+@)?[\w.-]+:(?!//)[^\s]+")
_HELPER = re.compile(r"(?:git\+)?[A-Za-z0-9][A-Za-z0-9+.-]*::")


@dataclass(frozen=True)
class Login:
    """A name and a password, or a token in its place. The password is left out of `repr`."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Login(username={self.username!r})"


@dataclass(frozen=True)
class Address:
    """An address, read.

    Attributes:
        kind: A local folder, a Git repository, a zip, or a folder behind a URL of fsspec.
        location: The absolute path, or the URL. That of a repository holds no password.
        subfolder: Relative path of the sub-folder; empty where the address names none.
        login: User and password that stood in a repository's URL.
    """

    kind: Kind
    location: str
    subfolder: str = ""
    login: Login | None = None

    @property
    def shown(self) -> str:
        """The location as messages and records may show it."""
        return without_credentials(self.location)

    @property
    def uri(self) -> str:
        """The address as records may hold it."""
        local = self.kind == "git" and os.path.isabs(self.location)
        # The path of a work tree alone would mean its files as they are.
        place = f"git+{Path(self.location).as_uri()}" if local and not _is_bare(Path(self.location)) else self.shown
        return f"{place}#{self.subfolder}" if self.subfolder else place

    @property
    def name(self) -> str:
        """What people would call the project."""
        path = urlsplit(self.location).path if is_url(self.location) else self.location.rpartition(":")[2]
        name = PurePosixPath(path.rstrip("/")).name
        return name.removesuffix(".git").removesuffix(".zip")


def read_address(uri: str | Path) -> Address:
    """Read the address of a project.

    Raises:
        ProjectError: It is of no form that is known, or nothing is there on this machine.
    """
    try:
        return _read(uri)
    except ValueError as error:  # what the parser of URLs says of brackets and ports
        raise ProjectError(f"{_shown(str(uri))!r} is no address that can be read ({error}); check it.") from error


def _read(uri: str | Path) -> Address:
    text = str(uri)
    if not text.strip() or "\0" in text or "\n" in text:
        raise ProjectError("The address of the project is empty; give a folder, a Git repository, a .zip or a URL.")
    if isinstance(uri, Path) or (not is_url(text) and Path(text).expanduser().exists()):
        return _local(text, "")
    place, _, fragment = text.partition("#")
    subfolder = _subfolder(fragment, text) if "#" in text else ""
    if _HELPER.match(place):
        raise ProjectError(f"{_shown(text)!r} would start a program of Git's; give an address over https, ssh or file.")
    if place.startswith("git+"):
        return _repository(place.removeprefix("git+"), subfolder)
    if place.lower().startswith("file://"):
        return _local(unquote(urlsplit(place).path), subfolder)
    if is_url(place):
        return _remote(place, subfolder)
    if not Path(place).expanduser().exists() and _SCP.fullmatch(place):
        return _repository(place, subfolder)
    return _local(place, subfolder)


def _local(text: str, subfolder: str) -> Address:
    path = Path(text).expanduser().absolute()
    if path.is_file() and path.suffix.lower() == ".zip":
        return Address("zip", str(path), subfolder)
    if path.is_file():
        raise ProjectError(f"{path} is a file; give the folder of the project, or a .zip of it.")
    if not path.is_dir():
        raise ProjectError(f"There is no project folder {text!r}; give a folder, a Git repository, a .zip or a URL.")
    return Address("git" if _is_bare(path) else "folder", str(path), subfolder)


def _is_bare(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def _remote(place: str, subfolder: str) -> Address:
    parts = urlsplit(place)
    if parts.path.lower().endswith(".zip"):
        return Address("zip", place, subfolder)
    if parts.scheme.lower() in _GIT_SCHEMES:
        return _repository(place, subfolder)
    return Address("remote", place, subfolder)


def _repository(place: str, subfolder: str) -> Address:
    if place.lower().startswith("file://") or place.startswith("/"):
        path = Path(unquote(urlsplit(place).path) if is_url(place) else place)
        if not path.is_dir():
            raise ProjectError(f"There is no repository at {str(path)!r}; check the path.")
        return Address("git", str(path.absolute()), subfolder)
    if not is_url(place):
        if place.startswith("-") or place.rpartition("@")[2].startswith("-"):
            raise ProjectError(f"{place!r} is no address of a Git repository; see that it names its host.")
        return Address("git", place, subfolder)
    return _over_network(place, subfolder)


def _over_network(place: str, subfolder: str) -> Address:
    parts = urlsplit(place)
    if parts.scheme.lower() not in _GIT_SCHEMES:
        raise ProjectError(
            f"Git repositories are fetched over https, http, ssh, git and file, not {parts.scheme!r};"
            " give such an address."
        )
    host = parts.netloc.rpartition("@")[2]
    if not host or host.startswith("-"):
        raise ProjectError(f"{without_credentials(place)!r} names no host; check the address.")
    if parts.scheme.lower() == "ssh":  # its user is no secret, and is needed
        return Address("git", without_credentials(place), subfolder)
    login = None
    if parts.username or parts.password:
        login = Login(unquote(parts.username or ""), unquote(parts.password or ""))
        if not login.password:  # a token alone
            login = Login("x-access-token", login.username)
    return Address("git", urlunsplit(parts._replace(netloc=host)), subfolder, login)


def _subfolder(fragment: str, uri: str) -> str:
    pure = PurePosixPath(fragment.rstrip("/") or ".")
    if pure.is_absolute() or ".." in pure.parts or "\\" in fragment or ".git" in pure.parts:
        raise ProjectError(
            f"{fragment!r} in {_shown(uri)!r} is no sub-folder of the project; use a relative path without '..'."
        )
    return "" if pure == PurePosixPath(".") else str(pure)


def _shown(uri: str) -> str:
    place, hash_sign, fragment = uri.partition("#")
    try:
        return f"{without_credentials(place)}{hash_sign}{fragment}"
    except ValueError:
        return re.sub(r"://[^/]*@", "://", uri)
