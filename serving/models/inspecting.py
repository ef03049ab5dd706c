"""Looking at a model without loading it; of one that lies elsewhere, only what describes it is fetched."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...errors import ArtifactError, IntegrityError, ModelError
from ...settings import Settings, load_settings, storage_options
from ...store import Store, current_store
from ...store.artifacts import fetch
from ...store.artifacts.reading import survey
from ...store.models import is_vouched
from ..runtime.descriptor import DESCRIPTOR, Descriptor, read_descriptor
from ..runtime.flavors import flavor_in
from ..runtime.manifest import MANIFEST, MOST_BYTES, ManifestError, files_in, parse_manifest
from ..runtime.model import executes_on_load
from .archives import unpacked_model
from .references import Reference, describe_nothing, resolve

__all__ = ["InspectedModel", "inspect_model"]

_REQUIREMENTS = "requirements.txt"
_PYTHON = "python_env.yaml"
_DESCRIBING = (DESCRIPTOR, MANIFEST, _REQUIREMENTS)


@dataclass(frozen=True)
class InspectedModel:
    """What a model folder says of itself; nothing of it was loaded, and only what describes it was verified.

    Attributes:
        uri: What was asked for.
        place: Where the folder lies.
        flavor: Name of the flavor that would load it, or None where none that is known here can.
        flavors: Names of all that can.
        signature: Its signature as `MLmodel` has it, or None.
        size: Bytes of all its files.
        files: Size of each, by its path.
        requirements: Lines of its requirements.txt.
        python_version: The Python that it was saved with, or None.
        run_id: The run that logged it, or None.
        created: When it was saved, in UTC, as text; or None.
        digest: sha256 of its manifest; None where it has none.
        vouched: Whether the store has a record of this model.
        executes: What of it would run as code when it is loaded; None where only its files could tell, and they lie
            elsewhere.
    """

    uri: str
    place: str
    flavor: str | None
    flavors: tuple[str, ...]
    signature: Mapping[str, Any] | None
    size: int
    files: Mapping[str, int]
    requirements: tuple[str, ...]
    python_version: str | None
    run_id: str | None
    created: str | None
    digest: str | None
    vouched: bool
    executes: tuple[str, ...] | None


def inspect_model(uri: str | Path, *, store: Store | None = None) -> InspectedModel:
    """Say what a model is, what it needs and what loading it would run, without loading anything.

    Args:
        uri: As for `load_model`.
        store: Where runs and versions are recorded; that of the settings by default.

    Raises:
        BadReference, RunNotFound, ModelNotFound, VersionNotFound, UnknownStage: The reference leads to nothing.
        ArtifactError: There is no such folder.
        IntegrityError: What describes it is not what was saved.
        ModelError: Its description cannot be read.
    """
    reference = resolve(uri, store=store)
    settings = store.settings if store else load_settings()
    with tempfile.TemporaryDirectory(prefix="prefect-ml-inspect-") as temporary:
        folder, sizes = _described(reference, Path(temporary) / "model", settings)
        if DESCRIPTOR not in sizes:
            raise describe_nothing(reference, folder)
        digest = _digest(folder, reference)
        known = reference.digest is not None or (digest is not None and is_vouched(digest, store=current_store(store)))
        try:
            descriptor = read_descriptor(folder)
        except ValueError as error:
            raise ModelError(f"The model {reference.uri} cannot be read: {error}.") from error
        return InspectedModel(
            uri=reference.uri,
            place=reference.place,
            flavor=_flavor(descriptor),
            flavors=tuple(descriptor.flavors),
            signature=descriptor.signature.as_mlmodel() if descriptor.signature else None,
            size=sum(sizes.values()),
            files=dict(sorted(sizes.items())),
            requirements=_requirements(folder),
            python_version=_python(folder, descriptor),
            run_id=reference.run_id or descriptor.run_id,
            created=descriptor.created,
            digest=digest,
            vouched=known,
            executes=_executes(folder, sizes),
        )


def _described(reference: Reference, to: Path, settings: Settings) -> tuple[Path, dict[str, int]]:
    """Give a folder that has at least what describes the model, and the size of every file of it."""
    options = storage_options(reference.place, settings=settings) if reference.local is None else None
    if reference.is_archive:
        archive = reference.local or fetch(reference.place, to.with_name("archive"), options=options)
        return _whole(unpacked_model(archive, to, shown=reference.uri))
    if reference.local is not None:
        return _whole(reference.local)
    to.mkdir()
    seen = survey(reference.place, root=reference.place, options=options)
    if not seen.exists:
        raise ArtifactError(f"There is nothing at {reference.uri}; check the path.")
    sizes = {one.path: one.size for one in seen.found}
    for name in _DESCRIBING:
        if name in sizes:
            if sizes[name] > MOST_BYTES:
                raise ModelError(f"The model {reference.uri} cannot be read: its file {name!r} is too long.")
            (to / name).write_bytes(seen.files.read(f"{seen.place}/{name}"))
    return to, sizes


def _whole(folder: Path) -> tuple[Path, dict[str, int]]:
    if not folder.is_dir():
        return folder, {}
    try:
        return folder, {name: found.st_size for name, found in files_in(folder).items()}
    except ManifestError as error:
        raise IntegrityError(f"{folder} cannot be read as a model: {error}.") from error


def _digest(folder: Path, reference: Reference) -> str | None:
    """Give the digest of the manifest, and hold the files that describe the model against it."""
    if not (folder / MANIFEST).is_file() and reference.digest is None:
        return None
    try:
        if not (folder / MANIFEST).is_file():
            raise ManifestError(f"the file {MANIFEST!r} is missing")
        listed, digest = parse_manifest((folder / MANIFEST).read_bytes())
        for name in (DESCRIPTOR, _REQUIREMENTS):
            path = folder / name
            if path.is_file() and listed.get(name, {}).get("sha256") != hashlib.sha256(path.read_bytes()).hexdigest():
                raise ManifestError(f"the file {name!r} is not the one that was saved")
        if reference.digest not in (None, digest):
            raise ManifestError(f"its {MANIFEST} is not the one that was recorded")
    except ManifestError as error:
        raise IntegrityError(f"The model {reference.uri} cannot be trusted: {error}; log it again.") from error
    return digest


def _flavor(descriptor: Descriptor) -> str | None:
    try:
        return flavor_in(descriptor.flavors).NAME
    except ValueError:
        return None


def _executes(folder: Path, sizes: Mapping[str, int]) -> tuple[str, ...] | None:
    try:
        return executes_on_load(folder, names=sizes)
    except ValueError:
        return None


def _requirements(folder: Path) -> tuple[str, ...]:
    try:
        lines = (folder / _REQUIREMENTS).read_text(errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _python(folder: Path, descriptor: Descriptor) -> str | None:
    """Give the version that `MLmodel` names, or else python_env.yaml, which is not always here."""
    named: Any = descriptor.flavors.get("python_function", {}).get("python_version")
    if named is not None:
        return str(named)
    try:
        content: Any = yaml.safe_load((folder / _PYTHON).read_bytes())
        return str(content["python"])
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return None
