"""Loading a model, from a run, the registry or a folder anywhere: verified first, and only where it is trusted."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import IntegrityError, ModelError, SignatureMismatch
from ...store import Store
from ...store.artifacts import fetch
from ..runtime.errors import BadInput, Mismatch
from ..runtime.manifest import ManifestError, verify
from ..runtime.model import Opened, open_model
from ..runtime.signature import Signature
from .cache import Held
from .obtaining import obtain
from .references import Reference, resolve

__all__ = ["LoadedModel", "fetch_model", "load_model"]


class LoadedModel:
    """A model in memory."""

    def __init__(self, opened: Opened, held: Held, reference: Reference) -> None:
        self._opened = opened
        self._digest = held.digest or ""
        self._folder = held.folder
        self._run_id = reference.run_id or opened.descriptor.run_id
        # The code that travels with a model may be imported later than the model itself, and files be read.
        self._cleanup = weakref.finalize(self, held.release)

    def __repr__(self) -> str:
        return f"LoadedModel(flavors={sorted(self._opened.descriptor.flavors)}, digest={self.digest[:12]!r})"

    @property
    def digest(self) -> str:
        """sha256 of its manifest; empty where another tool wrote it."""
        return self._digest

    @property
    def signature(self) -> Signature | None:
        """What goes in and comes out, or None where nobody said."""
        return self._opened.descriptor.signature

    @property
    def run_id(self) -> str | None:
        """The run that was asked for, or else the one that made it."""
        return self._run_id

    @property
    def folder(self) -> Path:
        """Where its files lie, as long as it is in memory; they are not to be changed."""
        return self._folder

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Predict.

        Args:
            data: What the signature says, in any form: DataFrame of pandas or polars, Arrow table, array, dict of
                columns, list of dicts or rows. With no signature, what the library's own object takes.
            params: Inference parameters that differ from the signature's defaults.

        Raises:
            SignatureMismatch: A column is missing, or values are of another type; nothing was predicted.
        """
        try:
            fitting, complete = self._opened.plan.fit(data, params)
        except Mismatch as error:
            raise SignatureMismatch(str(error), error.field, error.expected, error.found) from None
        except BadInput as error:
            raise SignatureMismatch(str(error)) from None
        return self._opened.loaded.predict(fitting, complete)

    def native(self) -> Any:
        """Give the library's own object."""
        return self._opened.loaded.native


def load_model(uri: str | Path, *, trust: bool = False, store: Store | None = None) -> LoadedModel:
    """Load a model.

    Args:
        uri: `runs:/<run_id>/<path>`, `models:/<name>/<version, stage or latest>`, `models:/<name>@<alias>`, a local
            folder, an fsspec URL, or a .zip or .tar.gz of such a folder.
        trust: Load a folder that the store does not vouch for although loading runs the code in it.
        store: Where runs and versions are recorded; that of the settings by default.

    Raises:
        IntegrityError: A file is not the one that was saved.
        UntrustedModel: Loading runs code, the store has no record of this model, and `trust` was not given.
        BadReference, RunNotFound, ModelNotFound, VersionNotFound, UnknownStage: The reference leads to nothing.
        ArtifactError: There is no such folder.
        ModelError: It cannot be loaded here.
    """
    reference = resolve(uri, store=store)
    held = obtain(reference, trust=trust, store=store)
    try:
        return LoadedModel(_open(held.folder, reference.uri), held, reference)
    except BaseException:
        held.release()
        raise


def fetch_model(uri: str | Path, to: Path, *, trust: bool = False, store: Store | None = None) -> Path:
    """Copy a model folder to `to`, where nothing is, verified and trusted.

    Raises:
        IntegrityError, UntrustedModel, ArtifactError: As for `load_model`; nothing is left behind.
    """
    reference = resolve(uri, store=store)
    held = obtain(reference, trust=trust, store=store)
    try:
        fetch(str(held.folder), to)
        if held.digest and verify(to) != held.digest:
            raise ManifestError("it was changed while it was copied")
    except ManifestError as error:
        shutil.rmtree(to, ignore_errors=True)
        raise IntegrityError(f"The model {reference.uri} cannot be trusted: {error}; save it again.") from error
    finally:
        held.release()
    return to


def _open(folder: Path, uri: str) -> Opened:
    try:
        return open_model(folder, check=False)
    except Exception as error:  # unpickling runs any library's code
        raise ModelError(
            f"The model {uri} cannot be loaded here ({type(error).__name__}: {error});"
            " install the packages in its requirements.txt."
        ) from error
