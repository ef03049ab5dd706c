"""An image that holds a whole project, for work pools: its code, its declared Python, and what Prefect starts.

As with the image of a declared Python, everything is resolved and downloaded here, where the index, its credentials and
the cache are: the build only copies, and nothing of this machine's configuration gets into the image.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ..declared import Declared
from ..environment import MARKER, Environment
from ..realise import realise
from ..uv import Report
from .client import connected
from .context import context_digest, context_files
from .declared import BASE_ADVICE, DeclaredImage
from .images import build_once, have_image
from .probe import Contents, contents_of
from .python_image import PREFIX, add_file, add_python, check_fits, python_on

__all__ = ["DIRECTORY", "FACTS", "ProjectImage", "build_project_image"]

DIRECTORY = PurePosixPath("/opt/project")
"""Where the project lies in the image."""
FACTS = ".prefect-ml-source.json"
"""File in that folder that says where it comes from."""
_HOME = PurePosixPath("/opt/prefect-ml-home")
_NOT_PACKED = ("pyvenv.cfg", MARKER)


@dataclass(frozen=True, kw_only=True)
class ProjectImage:
    """An image of a project in words.

    Attributes:
        folder: The project.
        name: What to call the image, with its registry.
        base: Image with a Python that everything is put on.
        runtime: What Prefect starts; the project's own environment where that holds prefect-ml.
        python: What the project declares, or None where it runs in `runtime`.
        facts: Where the project comes from: address, commit and so on.
    """

    folder: Path
    name: str
    base: str
    runtime: Declared
    python: Declared | None = None
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class _Part:
    """One environment of the image.

    Attributes:
        declared: Its declaration, whose digest the container will look for.
        built: What was built for the image's Python.
        prefix: Its folder in the image.
    """

    declared: Declared
    built: Environment
    prefix: PurePosixPath


def build_project_image(wanted: ProjectImage, *, root: Path, report: Report) -> str:
    """Build the image, unless this machine has it, and give its tag, which names what it holds.

    Args:
        wanted: What it must hold.
        root: Folder of all environments.
        report: Called with one line of text per step.

    Raises:
        EnvironmentFailed: No Docker daemon answers, or something of it cannot be had.
    """
    origin, root = f"The project {wanted.folder}", root.absolute()
    with connected(f"Docker refuses the image of {wanted.folder}") as client:
        base = have_image(client, wanted.base, origin=origin, report=report, advice=BASE_ADVICE)
        holds = contents_of(client, base, root=root)
        parts = [_part(declared, wanted, holds, root, report) for declared in _declared(wanted)]
        tag = _digest(wanted, base.id)
        packed = lambda: _packed(wanted, parts, holds, base.id)  # noqa: E731
        build_once(client, f"{wanted.name}:{tag}", root=root, packed=packed, origin=origin, report=report)
    return tag


def _declared(wanted: ProjectImage) -> list[Declared]:
    return list({one.digest: one for one in (wanted.runtime, wanted.python) if one}.values())


def _part(declared: Declared, wanted: ProjectImage, holds: Contents, root: Path, report: Report) -> _Part:
    image = DeclaredImage(origin=declared.origin, folder=wanted.folder, python=declared, base=wanted.base)
    for note in declared.notes:
        report(note)
    built = realise(python_on(image, holds), root=root, report=report)
    check_fits(built, holds, image=wanted.base)
    return _Part(declared, built, _prefix(declared, wanted))


def _prefix(declared: Declared, wanted: ProjectImage) -> PurePosixPath:
    return _HOME / "environments" / declared.digest if declared == wanted.python else PREFIX


def _digest(wanted: ProjectImage, base: str) -> str:
    environments = [declared.digest for declared in _declared(wanted)]
    parts = [base, environments, context_digest(wanted.folder), dict(wanted.facts)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _packed(wanted: ProjectImage, parts: list[_Part], holds: Contents, base: str) -> IO[bytes]:
    """Pack what is built from: folders that are copied to `/` one by one, so that what seldom changes is kept."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
    folders = [f"part{number}" for number in range(len(parts))]
    with tarfile.open(fileobj=file, mode="w", dereference=True) as tar:
        add_file(tar, "Dockerfile", _dockerfile(wanted, [*folders, "code"], base).encode())
        for place in (_HOME, _HOME / "environments"):
            _add_folder(tar, f"code{place}")
        for folder, part in zip(folders, parts, strict=True):
            add_python(tar, part.built, holds, at=f"{folder}{part.prefix}", prefix=part.prefix)
            _add_declaration(tar, part, f"{folder}{part.prefix}")
        _add_code(tar, wanted)
    file.seek(0)
    return file


def _dockerfile(wanted: ProjectImage, folders: list[str], base: str) -> str:
    prefix = _prefix(wanted.runtime, wanted)
    copies = "".join(f"COPY {folder} /\n" for folder in folders)
    variables = f"VIRTUAL_ENV={prefix} PATH={prefix}/bin:$PATH PREFECT_ML_HOME={_HOME}"
    return f"FROM {base}\n{copies}ENV {variables}\nWORKDIR {DIRECTORY}\n"


def _add_declaration(tar: tarfile.TarFile, part: _Part, at: str) -> None:
    """Add what says what an environment is: under the digest by which the project in the container asks for it."""
    for file in sorted(part.built.prefix.iterdir()):
        if file.is_file() and file.name not in _NOT_PACKED:
            add_file(tar, f"{at}/{file.name}", file.read_bytes())
    said = {"digest": part.declared.digest, "kind": part.declared.kind, "origin": part.declared.origin}
    add_file(tar, f"{at}/{MARKER}", json.dumps(said, indent=2).encode())


def _add_code(tar: tarfile.TarFile, wanted: ProjectImage) -> None:
    tar.dereference = False  # links in a project stay links
    _add_folder(tar, f"code{DIRECTORY}")
    for name in context_files(wanted.folder):
        tar.add(wanted.folder / name, f"code{DIRECTORY}/{name}", recursive=False, filter=_for_everybody)
    add_file(tar, f"code{DIRECTORY}/{FACTS}", json.dumps(dict(wanted.facts), indent=2).encode())


def _add_folder(tar: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
    tar.addfile(entry)


def _for_everybody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Let whoever runs in the container write: a command leaves its files beside its code."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode |= 0o777 if entry.isdir() else 0o666
    return entry
