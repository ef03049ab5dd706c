"""What leads to a model: a run, a version of a registered model, a local path, an archive, or any fsspec URL."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import ArtifactError, BadReference
from ...registry import resolve_model_uri
from ...store import Store
from ...store.artifacts.paths import shown
from ..runtime.descriptor import DESCRIPTOR

__all__ = ["Reference", "describe_nothing", "resolve"]

_ARCHIVE = re.compile(r".+\.(zip|tar\.gz|tgz)", re.IGNORECASE)
_MOST_NAMED = 10


@dataclass(frozen=True)
class Reference:
    """Where a model lies.

    Attributes:
        uri: What was asked for, as messages show it.
        place: The folder or archive: a local path or an fsspec URL.
        digest: sha256 of its manifest, as the store has recorded it; None where it was not asked, or has no record.
        run_id: The run that was asked for, or that the version comes from.
    """

    uri: str
    place: str
    digest: str | None = None
    run_id: str | None = None

    @property
    def local(self) -> Path | None:
        """Its path, where it lies on this machine."""
        path = self.place.removeprefix("file://")
        return None if "://" in path else Path(path).expanduser()

    @property
    def is_archive(self) -> bool:
        """Whether it is an archive of a model folder, and no folder that is called like one."""
        if not _ARCHIVE.fullmatch(self.place.rstrip("/")):
            return False
        return self.local is None or not self.local.is_dir()


def resolve(uri: str | Path, *, store: Store | None = None) -> Reference:
    """Find where a model lies.

    Args:
        uri: `runs:/<run_id>/<path>`, `models:/<name>/<version, stage or latest>`, `models:/<name>@<alias>`, the path of
            a local folder, `file://` and a path, any fsspec URL, or any of these three of a .zip or .tar.gz.
        store: Where runs and versions are recorded; that of the settings by default.

    Raises:
        BadReference: The URI has another form.
        RunNotFound, ArtifactError, ModelNotFound, VersionNotFound, UnknownStage: It leads to nothing; the message
            lists what there is.
    """
    text = str(uri)
    if re.match(r"(runs|models):/", text):
        source = resolve_model_uri(text, store=store)
        return Reference(text, source.uri, source.digest, source.run_id)
    found = Reference(shown(text), text)
    if found.local is not None and not found.local.exists():
        if re.match(r"[a-z-]{2,}:/?[^/]", text):
            raise BadReference(
                f"{text!r} names no model; use runs:/<run_id>/<path>, models:/<name>/<version, stage or latest>,"
                " models:/<name>@<alias>, a path or a URL."
            )
        raise ArtifactError(f"There is nothing at {text}{_close_to(found.local)}; check the path.")
    return found


def describe_nothing(reference: Reference, folder: Path) -> ArtifactError:
    """Make the error for a folder that is no model; it names the models below it."""
    below = sorted(_models_below(folder))
    if below:
        more = f" and {len(below) - _MOST_NAMED} more" if len(below) > _MOST_NAMED else ""
        advice = f"there are models in it: {', '.join(below[:_MOST_NAMED])}{more}"
    else:
        advice = "check the path"
    return ArtifactError(f"{reference.uri} is no model folder: it has no {DESCRIPTOR} file; {advice}.")


def _models_below(folder: Path) -> Iterator[str]:
    for pattern in (f"*/{DESCRIPTOR}", f"*/*/{DESCRIPTOR}"):
        yield from (path.parent.relative_to(folder).as_posix() for path in folder.glob(pattern))


def _close_to(path: Path) -> str:
    """Name what is called like the first part of a path that is missing."""
    while not path.parent.is_dir() and path != path.parent:
        path = path.parent
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=3)
    return f" (did you mean {' or '.join(repr(str(path.with_name(name))) for name in close)}?)" if close else ""
