"""Writing artifacts: each file, and each folder, is there as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from ...errors import ArtifactError
from .faults import PATIENCE
from .files import Advance, Staged, open_files
from .ledger import Manifest, is_staged, marker, sealed_folder
from .local import LocalFiles
from .parallel import in_parallel
from .paths import RESERVED, below, files_below, parent_of, shown
from .progress import progress
from .reading import Survey, survey

__all__ = ["add_folder", "put_file", "put_folder", "remove"]


def put_file(local: Path, uri: str, *, options: Mapping[str, object] | None = None, patience: float = PATIENCE) -> None:
    """Copy a local file to `uri`, replacing what is there.

    Args:
        local: The file.
        uri: Where its copy shall lie.
        options: What the fsspec file system is opened with; by default as the settings say.
        patience: For how many seconds a network fault is waited for.

    Raises:
        ArtifactError: The file is missing, or the target cannot be written.
    """
    if not local.is_file():
        raise ArtifactError(f"{local} is not a file; give the path of a file that exists.")
    files, place = open_files(uri, options=options, patience=patience)
    folder, name = parent_of(place), place.rpartition("/")[2]
    with progress(f"Logging {local.name}", local.stat().st_size) as advance:
        staged = files.stage(local, place, advance)
        record = marker(name, staged.digest)
        try:
            there = files.find(below(folder, RESERVED)) if files.find(place) else {}
            if any(sealed_folder(f"{RESERVED}/{one}") == "" for one in there):
                raise _unchanging(uri)
            stale = _markers(there, name) - {record}
            # Before the file: until it is there, nobody sees it, and from then on its digest is known.
            files.write(below(folder, record), b"")
            staged.place(advance)
        finally:
            staged.discard()
    for old in stale:
        files.remove(below(folder, old))


def put_folder(
    local: Path,
    uri: str,
    *,
    sealed: bool = False,
    options: Mapping[str, object] | None = None,
    patience: float = PATIENCE,
) -> None:
    """Copy a local folder to `uri` as a whole, in place of what is there.

    Args:
        local: The folder.
        uri: Where its files shall lie.
        sealed: Let nothing replace it or add to it from then on.
        options: As in `put_file`.
        patience: As in `put_file`.

    Raises:
        ArtifactError: The folder is missing, holds a link that leads out, or the target is sealed or cannot be written.
    """
    seen = _survey_for(local, uri, options, patience)
    inside = f"{seen.path}/" if seen.path else ""
    # What another upload is staging just now is not ours to remove.
    there = {one.removeprefix(inside) for one in seen.sizes if one.startswith(inside) and not is_staged(one)}
    sent = _send(
        seen, files_below(local), replaces=tuple(sorted(one for one in there if _is_record(one))), sealed=sealed
    )
    stale = {old: below(seen.place, old) for old in there - sent}
    # Files before records: what no record names any more would look like another tool's.
    for records in (False, True):
        in_parallel(
            [lambda one=one: seen.files.remove(one) for old, one in stale.items() if _is_record(old) == records]
        )


def add_folder(
    local: Path, uri: str, *, options: Mapping[str, object] | None = None, patience: float = PATIENCE
) -> None:
    """Copy the files of a local folder into the folder `uri`, all or none; other files there stay.

    Args:
        local: The folder.
        uri: Where its files shall lie.
        options: As in `put_file`.
        patience: As in `put_file`.

    Raises:
        ArtifactError: As for `put_folder`.
    """
    seen = _survey_for(local, uri, options, patience)
    sources = files_below(local)
    stale = [
        record
        for path in sources
        for digest in seen.ledger.accepted.get(below(seen.path, path), ())
        if below(seen.path, record := marker(path, digest)) in seen.sizes
    ]
    _send(seen, sources)
    for old in stale:
        seen.files.remove(below(seen.place, old))


def remove(uri: str, *, options: Mapping[str, object] | None = None, patience: float = PATIENCE) -> None:
    """Remove a file or a folder with all that is in it; what is gone already is no error.

    Raises:
        ArtifactError: It cannot be removed.
    """
    files, place = open_files(uri, options=options, patience=patience)
    files.remove(place)


def _survey_for(local: Path, uri: str, options: Mapping[str, object] | None, patience: float) -> Survey:
    if not local.is_dir():
        raise ArtifactError(f"{local} is not a folder; give the path of a folder that exists.")
    seen = survey(uri, options=options, patience=patience)
    sealed = [folder for one in seen.sizes if (folder := sealed_folder(one)) is not None]
    if any(not folder or f"{seen.path}/".startswith(f"{folder}/") for folder in sealed):
        raise _unchanging(uri)
    return seen


def _unchanging(uri: str) -> ArtifactError:
    return ArtifactError(f"{shown(uri)} is or belongs to a logged model, which does not change; log another one.")


def _send(
    seen: Survey, sources: Mapping[str, Path], replaces: tuple[str, ...] = (), *, sealed: bool = False
) -> set[str]:
    """Send files, then their record; give the paths below the folder that make it up now."""
    files, place = seen.files, seen.place
    sizes = [source.stat().st_size for source in sources.values()]
    staged: dict[str, Staged] = {}

    def stage(path: str, source: Path, advance: Advance) -> None:
        staged[path] = files.stage(source, below(place, path), advance)

    with progress(f"Logging {PurePosixPath(place).name}", sum(sizes)) as advance:
        try:
            in_parallel([lambda one=one: stage(*one, advance) for one in sources.items()], sizes=sizes)
            manifest = Manifest({path: (one.size, one.digest) for path, one in staged.items()}, replaces, sealed)
            files.write(below(place, manifest.arriving), manifest.as_bytes())
            in_parallel([lambda path=path: staged[path].place(advance) for path in sources], sizes=sizes)
            if sealed and isinstance(files, LocalFiles):
                files.protect(below(place, path) for path in sources)
        finally:
            for one in staged.values():
                one.discard()
    files.write(below(place, manifest.whole), manifest.as_bytes())
    files.remove(below(place, manifest.arriving))
    return {*sources, manifest.whole}


def _markers(records: Iterable[str], name: str) -> set[str]:
    there = {f"{RESERVED}/{record}" for record in records}
    return {record for record in there if record.rpartition(".")[0] == marker(name, "").rstrip(".")}


def _is_record(path: str) -> bool:
    return RESERVED in path.split("/")
