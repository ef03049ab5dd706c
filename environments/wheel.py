"""A wheel of the running prefect-ml: environments get it from here, as no package index has it."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from ..errors import EnvironmentFailed
from ..settings import load_settings

__all__ = ["own_digest", "own_wheel"]

_PACKAGE = "prefect_ml"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold: equal sources give equal bytes
_WHEEL = "Wheel-Version: 1.0\nGenerator: prefect-ml\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def own_wheel(*, cache: Path | None = None) -> Path:
    """Give a wheel of the running installation, be it a checkout, an editable install or an installed wheel.

    Args:
        cache: Folder for the wheels, one sub-folder per digest of the sources; by default below the environments.

    Raises:
        EnvironmentFailed: prefect-ml runs without being installed.
    """
    cache = cache or load_settings().environments / "wheels"
    installed = _installed()
    path = cache / own_digest() / f"{_PACKAGE}-{installed.version}-py3-none-any.whl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, _contents(installed))
    return path


def own_digest() -> str:
    """Digest of the running installation's sources; the wheel, and what it is installed into, give the same."""
    installed = _installed()
    parts = {"version": installed.version.encode(), **_sources()}
    parts["entry_points"] = (installed.read_text("entry_points.txt") or "").encode()
    digest = hashlib.sha256()
    for name, content in sorted(parts.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _installed() -> Distribution:
    try:
        return distribution("prefect-ml")
    except PackageNotFoundError as error:
        raise EnvironmentFailed("prefect-ml runs without being installed; install it with `pip install .`.") from error


@functools.cache  # one process, one prefect-ml, even when somebody edits the checkout meanwhile
def _sources() -> dict[str, bytes]:
    root = Path(__file__).resolve().parent.parent
    files = _checkout_files(root) if (root / "pyproject.toml").is_file() else _package_files(root)
    return {f"{_PACKAGE}/{file.relative_to(root).as_posix()}": file.read_bytes() for file in files}


def _package_files(root: Path) -> Iterator[Path]:
    """List an installed package: everything in its folder but bytecode."""
    return (file for file in root.rglob("*") if file.is_file() and file.suffix != ".pyc")


def _checkout_files(root: Path) -> Iterator[Path]:
    """List what the checkout's pyproject makes part of the package, as setuptools would."""
    tool = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    for package in tool["packages"]:
        folder = root / tool["package-dir"][package]
        for pattern in ("*.py", *tool.get("package-data", {}).get(package, ())):
            yield from sorted(folder.glob(pattern))


def _contents(installed: Distribution) -> dict[str, bytes]:
    info = f"{_PACKAGE}-{installed.version}.dist-info"
    metadata = installed.read_text("METADATA") or installed.read_text("PKG-INFO") or ""
    return {
        **_sources(),
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": _WHEEL.encode(),
        f"{info}/entry_points.txt": (installed.read_text("entry_points.txt") or "").encode(),
    }


def _write(path: Path, contents: dict[str, bytes]) -> None:
    record = next(name for name in contents if name.endswith(".dist-info/WHEEL")).replace("WHEEL", "RECORD")
    lines = [f"{name},sha256={_hash(content)},{len(content)}\n" for name, content in sorted(contents.items())]
    handle, unfinished = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        complete = {**contents, record: "".join([*lines, f"{record},,\n"]).encode()}
        for name, content in sorted(complete.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    Path(unfinished).replace(path)  # another process may have written the same bytes meanwhile


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
