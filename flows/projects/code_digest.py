"""The files that a project holds: listed, named by one digest wherever they lie, and copied for a step to work on."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
import stat
import subprocess
import uuid
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import ProjectError
from ...locks import locked
from ...settings import Settings
from .sources.cache import remove_tree
from .sources.working import runs_of

__all__ = ["Code", "code_of", "copy_of"]

_SKIPPED = {"__pycache__", ".git", "node_modules"}


@dataclass(frozen=True)
class Code:
    """Files of a project.

    Attributes:
        folder: The project.
        files: Their paths in it, sorted.
        digest: A digest over names and contents: equal for equal ones.
    """

    folder: Path
    files: tuple[str, ...]
    digest: str


def code_of(
    folder: Path, *, only: Sequence[str] = (), without: Sequence[str] = (), ignored: Iterable[Path] = ()
) -> Code:
    """List a project's files.

    In a Git repository these are all that Git does not ignore, committed or not; elsewhere all that are not hidden.

    Args:
        folder: The project.
        only: Patterns such as `train.py`, `features/` or `data/*.csv`, relative to the project; all files by default.
        without: Patterns of files that do not count.
        ignored: Folders in it that do not count, such as our own.

    Raises:
        ProjectError: A pattern of `only` matches no file, or a file cannot be read.
    """
    # What was fetched lies in a folder of ours itself.
    within = [path.resolve() for path in ignored if not folder.resolve().is_relative_to(path.resolve())]
    ours = tuple(f"{path}{os.sep}" for path in within)
    files = [name for name in _files(folder) if not os.path.realpath(folder / name).startswith(ours)]
    if idle := [pattern for pattern in only if not any(_matches(name, [pattern]) for name in files)]:
        raise ProjectError(f"No file of {folder} matches {idle[0]!r}; name files or folders of the project.")
    chosen = [name for name in files if (not only or _matches(name, only)) and not _matches(name, without)]
    whole = hashlib.sha256()
    for name in sorted(chosen):
        whole.update(f"{name}\0{_digest_of(folder / name)}\n".encode(errors="surrogateescape"))
    return Code(folder, tuple(sorted(chosen)), whole.hexdigest())


@contextmanager
def copy_of(code: Code, *, beside: Iterable[str], outputs: Iterable[str], settings: Settings) -> Generator[Path]:
    """Give a clean copy of files of a project, removed afterwards.

    Args:
        code: The files.
        beside: Other files of the project that are copied if they are there.
        outputs: What will be written; the folders for it are made.
        settings: Where copies are made.

    Raises:
        ProjectError: They cannot be copied.
    """
    place = runs_of(settings) / uuid.uuid4().hex
    lock = place.parent / f"{place.name}.lock"
    # Held while the step runs, so that nobody takes the copy for one that a killed run has left.
    with locked(lock):
        try:
            folder = place / (code.folder.name or "project")
            _copy_all(code, beside, outputs, folder)
            yield folder
        finally:
            remove_tree(place)
            lock.unlink(missing_ok=True)


def _copy_all(code: Code, beside: Iterable[str], outputs: Iterable[str], folder: Path) -> None:
    more = [name for name in beside if (code.folder / name).is_file()]
    try:
        folder.mkdir(parents=True)
        for name in dict.fromkeys([*code.files, *more]):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _copy(code.folder / name, folder / name, code.folder)
        for name in outputs:
            is_folder = (code.folder / name).is_dir()
            (folder / name if is_folder else (folder / name).parent).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise ProjectError(f"The files of {code.folder} cannot be copied to {folder} ({reason}); make room.") from error


def _copy(source: Path, target: Path, root: Path) -> None:
    if source.is_dir():  # a link to a folder; one that stays within the project would lead to the copy
        inside = source.resolve().is_relative_to(root.resolve())
        target.symlink_to(os.readlink(source) if inside else source.resolve())
        return
    shutil.copy2(source, target)
    target.chmod(target.stat().st_mode | stat.S_IWUSR)


def _files(folder: Path) -> Iterable[str]:
    # Git lists nothing of a folder that it ignores as a whole, and that does not mean that nothing is there.
    return _git_files(folder) or list(_walked(folder))


def _git_files(folder: Path) -> list[str]:
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = dict.fromkeys(os.fsdecode(done.stdout).split("\0")) if not done.returncode else {}
    return [found for name in names if name for found in _listed(folder, name)]


def _listed(folder: Path, name: str) -> Iterator[str]:
    """Give what an entry of Git's stands for: nothing if it was deleted, all files within if it is a repository."""
    path = folder / name
    if _SKIPPED & set(PurePosixPath(name).parts):
        return
    if path.is_file() or (path.is_symlink() and path.is_dir()):
        yield name
    elif path.is_dir():
        yield from (f"{name.rstrip('/')}/{inner}" for inner in _files(path))


def _walked(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _SKIPPED]
        for name in [*names, *links]:
            path = Path(place, name)
            if not name.startswith(".") and path.exists():
                yield path.relative_to(folder).as_posix()


def _matches(name: str, patterns: Iterable[str]) -> bool:
    plain = [pattern.removeprefix("./").rstrip("/") for pattern in patterns]
    return any(name == one or name.startswith(f"{one}/") or fnmatch.fnmatchcase(name, one) for one in plain)


def _digest_of(path: Path) -> str:
    try:
        if path.is_dir():
            return f"link:{os.readlink(path)}"
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
            executable = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
        return f"{content}{'x' if executable else ''}"
    except OSError as error:
        raise ProjectError(f"{path} cannot be read ({error.strerror}); make it readable.") from error
