"""An image of a declared Python: what uv has built on this machine, copied onto a base image with the same Python.

Everything is resolved and downloaded here, where the index, its credentials and the cache are; the build itself only
copies, so that it needs no network, no uv and no compiler in the image.
"""

from __future__ import annotations

import io
import platform
import re
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import IO, Any

from packaging.version import InvalidVersion, Version

from ...errors import EnvironmentFailed
from ..environment import Environment
from ..pythons import allows
from .declared import DeclaredImage
from .probe import Contents

__all__ = ["PREFIX", "add_file", "add_python", "check_fits", "packed_python", "python_on"]

PREFIX = PurePosixPath("/opt/prefect-ml")
_GLIBC = re.compile(r"-manylinux_(\d+_\d+)_")
_OLD_GLIBC = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}


def python_on(declared: DeclaredImage, base: Contents) -> Any:
    """Give the Python declaration with exactly the Python that the base image has.

    Raises:
        EnvironmentFailed: The base image has none, or another one.
    """
    assert declared.python is not None
    advice = "name one with that Python as `docker_base` in the settings, or write a Dockerfile"
    if not base.python:
        raise EnvironmentFailed(f"The base image {declared.base} has no Python for {declared.origin}; {advice}.")
    if not allows(declared.python.python, base.python):
        raise EnvironmentFailed(
            f"{declared.origin} declares Python {declared.python.python}, and the base image {declared.base} has"
            f" {base.python}; {advice}."
        )
    if base.platform.lower() != f"{platform.system()} {platform.machine()}".lower():
        raise EnvironmentFailed(
            f"The base image {declared.base} is for {base.platform}, and packages for it cannot be installed on"
            f" {platform.system()} {platform.machine()}; write a Dockerfile for {declared.origin}."
        )
    return replace(declared.python, python=".".join(base.python.split(".")[:2]), notes=())


def check_fits(environment: Environment, base: Contents, *, image: str) -> None:
    """Refuse packages that were built for a newer C library than the base image has.

    Raises:
        EnvironmentFailed: There are some.
    """
    there, here = base.libc[1], platform.libc_ver()[1]
    for name, tags in _built(environment):
        needed = _oldest_glibc(tags, here)
        if needed is None or (there and Version(needed) <= Version(there)):
            continue
        raise EnvironmentFailed(
            f"{name} was built for glibc {needed}, and the base image {image} has {there or 'another C library'};"
            " choose a newer one as `docker_base` in the settings, or write a Dockerfile."
        )


def packed_python(environment: Environment, base: Contents, *, image: str) -> IO[bytes]:
    """Pack a Dockerfile and the environment, as it will lie in the image, as a tar in an unnamed temporary file."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
    with tarfile.open(fileobj=file, mode="w", dereference=True) as tar:
        add_file(tar, "Dockerfile", _dockerfile(image).encode())
        add_python(tar, environment, base, at="python", prefix=PREFIX)
    file.seek(0)
    return file


def add_python(
    tar: tarfile.TarFile, environment: Environment, base: Contents, *, at: str, prefix: PurePosixPath
) -> None:
    """Add an environment to a tar.

    Args:
        tar: The tar.
        environment: The environment on this machine.
        base: The image whose Python it will use.
        at: Its folder in the tar.
        prefix: Its folder in the image.
    """
    add_file(tar, f"{at}/pyvenv.cfg", _pyvenv(base).encode())
    for name in ("python", "python3"):
        link = tarfile.TarInfo(f"{at}/bin/{name}")
        link.type, link.linkname = tarfile.SYMTYPE, base.executable
        tar.addfile(link)
    for script in sorted(environment.python.parent.iterdir()):
        if script.is_file() and (text := _script(script, environment.prefix, prefix)) is not None:
            add_file(tar, f"{at}/bin/{script.name}", text, mode=0o755)
    for folder in sorted(environment.prefix.glob("lib/python*")):
        tar.add(folder, f"{at}/lib/{folder.name}", filter=_owned_by_root)


def add_file(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    """Add a file of root's to a tar."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _dockerfile(image: str) -> str:
    return f"FROM {image}\nCOPY python {PREFIX}\nENV VIRTUAL_ENV={PREFIX} PATH={PREFIX}/bin:$PATH\n"


def _pyvenv(base: Contents) -> str:
    home = PurePosixPath(base.executable).parent
    return f"home = {home}\ninclude-system-site-packages = false\nversion_info = {base.python}\n"


def _script(file: Path, here: Path, there: PurePosixPath) -> bytes | None:
    """Give a script that starts with the environment's interpreter, with the path that this will have."""
    content = file.read_bytes()
    if file.is_symlink() or not content.startswith(b"#!") or file.name.startswith("activate"):
        return None
    return content.replace(str(here).encode(), str(there).encode())


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode |= 0o444 | (0o111 if entry.isdir() else 0)  # whoever runs in the container must be able to read it
    return entry


def _built(environment: Environment) -> Iterator[tuple[str, list[str]]]:
    for file in sorted(environment.prefix.glob("lib/python*/site-packages/*.dist-info/WHEEL")):
        said = HeaderParser().parsestr(file.read_text(errors="replace"))
        yield file.parent.name.partition("-")[0], [str(tag) for tag in said.get_all("Tag", [])]


def _oldest_glibc(tags: list[str], here: str) -> str | None:
    """Give the glibc that a package with these tags needs; None where it needs none."""
    if not tags or any(tag.endswith("-any") for tag in tags):
        return None
    found = [match.group(1).replace("_", ".") for tag in tags if (match := _GLIBC.search(tag))]
    found += [version for tag in tags for name, version in _OLD_GLIBC.items() if f"-{name}_" in tag]
    try:
        return min(found or [here], key=Version)  # what was built here is for what is here
    except InvalidVersion:
        return None
