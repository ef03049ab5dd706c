"""Loading a model, from a run, the registry or a folder anywhere: verified first, and only where it is trusted."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from ...errors import ArtifactError, IntegrityError, ModelError, UntrustedModel
from ...registry import resolve_model_uri
from ...store import Store, current_store
from ...store.artifacts import fetch
from ...store.models import is_vouched
from ..runtime.manifest import MANIFEST, ManifestError, verify
from ..runtime.model import Opened, open_model
from ..runtime.signature import Signature

__all__ = ["LoadedModel", "fetch_model", "load_model"]


class LoadedModel:
    """A model in memory."""

    def __init__(self, opened: Opened, folder: Path) -> None:
        self._opened = opened
        # The code that travels with a model may be imported later than the model itself.
        self._cleanup = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def __repr__(self) -> str:
        return f"LoadedModel(flavors={sorted(self._opened.descriptor.flavors)}, digest={self.digest[:12]!r})"

    @property
    def digest(self) -> str:
        """sha256 of its manifest."""
        return self._opened.digest

    @property
    def signature(self) -> Signature | None:
        """What goes in and comes out, or None where nobody said."""
        return self._opened.descriptor.signature

    @property
    def run_id(self) -> str | None:
        """The run that made it."""
        return self._opened.descriptor.run_id

    def predict(self, data: Any) -> Any:
        """Predict for the data that the library's own object takes."""
        return self._opened.predict(data)

    def native(self) -> Any:
        """Give the library's own object."""
        return self._opened.loaded.native


def load_model(uri: str | Path, *, trust: bool = False, store: Store | None = None) -> LoadedModel:
    """Load a model.

    Args:
        uri: `runs:/<run_id>/<path>`, `models:/<name>/<version or stage>`, a local folder or an fsspec URL.
        trust: Load a folder that the store does not vouch for; loading runs the code in it.
        store: Where runs and versions are recorded; that of the settings by default.

    Raises:
        IntegrityError: A file is not the one that was saved.
        UntrustedModel: The store has no record of this model, and `trust` was not given.
        ArtifactError: There is no such folder.
        ModelError: It cannot be loaded here.
    """
    temporary = Path(tempfile.mkdtemp(prefix="prefect-ml-model-"))
    try:
        folder = fetch_model(str(uri), temporary / "model", trust=trust, store=store)
        return LoadedModel(_open(folder, str(uri)), temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def fetch_model(uri: str, to: Path, *, trust: bool = False, store: Store | None = None) -> Path:
    """Copy a model folder to `to`, verified and trusted; nobody can change a file between its check and its use.

    Raises:
        IntegrityError, UntrustedModel, ArtifactError: As for `load_model`.
    """
    recorded = None
    place = uri
    if uri.startswith(("runs:/", "models:/")):
        source = resolve_model_uri(uri, store=store)
        place, recorded = source.uri, source.digest
    folder = fetch(place, to)
    if not (folder / "MLmodel").is_file():
        raise ArtifactError(f"{uri} is no model folder: it has no MLmodel file; check the path.")
    _check(folder, uri, recorded, trust=trust, store=store)
    return folder


def _check(folder: Path, uri: str, recorded: str | None, *, trust: bool, store: Store | None) -> None:
    has_manifest = (folder / MANIFEST).exists()
    digest = _digest_of(folder, uri) if recorded or has_manifest else None
    if recorded is not None and digest != recorded:
        raise IntegrityError(f"The model {uri} is not the one that was recorded: its {MANIFEST} differs; log it again.")
    if recorded is None and not trust and not (digest and is_vouched(digest, store=current_store(store))):
        raise UntrustedModel(
            f"Loading {uri} would run code that this store has no record of; if you know where it comes from,"
            " say load_model(..., trust=True)."
        )


def _digest_of(folder: Path, uri: str) -> str:
    try:
        return verify(folder)
    except ManifestError as error:
        raise IntegrityError(f"The model {uri} cannot be trusted: {error}; save it again.") from error


def _open(folder: Path, uri: str) -> Opened:
    try:
        return open_model(folder, check=(folder / MANIFEST).exists())
    except ManifestError as error:
        raise IntegrityError(f"The model {uri} cannot be trusted: {error}; save it again.") from error
    except Exception as error:  # unpickling runs any library's code
        raise ModelError(
            f"The model {uri} cannot be loaded here ({type(error).__name__}: {error});"
            " install the packages in its requirements.txt."
        ) from error
