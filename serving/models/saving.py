"""Saving a model: a folder in the public MLflow format, with a manifest of every byte."""

from __future__ import annotations

import platform
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from ...errors import ArtifactError, ModelError
from ..runtime.descriptor import read_descriptor
from ..runtime.flavors import Flavor, Material, Written, flavor_in
from ..runtime.manifest import MANIFEST, ManifestError, manifest_digest, write_manifest
from ..runtime.signature import Plan, Signature
from ..runtime.signature.hints import item_of
from .attachments import attached
from .choosing import flavor_for
from .companion import write_companion
from .examples import Example, as_example, write_example
from .loading import LoadedModel
from .requirements import checked_requirements, infer_requirements
from .signatures import hinted_signature, infer_outputs, infer_signature

__all__ = ["SavedModel", "save_model"]

_CODE = "code"


@dataclass(frozen=True)
class SavedModel:
    """A model folder.

    Attributes:
        digest: sha256 of its manifest; equal digests mean equal bytes.
        flavor: Name of the flavor that saved it.
    """

    path: Path
    digest: str
    flavor: str


def save_model(  # noqa: PLR0913 - each is a word that users look for
    model: Any,
    path: str | Path,
    *,
    flavor: str | None = None,
    signature: Signature | None = None,
    example: Any = None,
    requirements: Sequence[str] | None = None,
    code: Sequence[str | Path] | None = None,
    artifacts: Mapping[str, str | Path] | None = None,
    metadata: Mapping[str, Any] | None = None,
    run_id: str | None = None,
) -> SavedModel:
    """Save a model to a new folder.

    Args:
        model: A library's own object, a function, or an object with `predict(data)`,
            `predict(data, params=None)` or `predict(self, context, data, params=None)`. What `load_model` gave is
            copied as it is, such as a folder that MLflow wrote; the other arguments are then left out.
        path: Where the folder shall be; nothing may be there yet.
        flavor: How to save it; found by the model's type by default.
        signature: Its signature; by default inferred from the example and what the model answers to it, or from the
            type hints of a function.
        example: A few rows of input: whatever `infer_signature` takes, or a tuple of that and a dict of parameters.
        requirements: Lines for pip; what the model imports, seen in a clean process, by default.
        code: Python files and folders that the model imports and no package holds.
        artifacts: Files and folders that a `python_function` needs, by name: paths, `runs:/<run_id>/<path>` or fsspec
            URLs; `context.artifacts` gives their paths where it runs.
        metadata: Anything that JSON can say, kept in `MLmodel`.
        run_id: The run that made it.

    Raises:
        UnknownFlavor, ModelError: It cannot be saved, does not score its example, or cannot be loaded again.
        ArtifactError: The folder cannot be made, or a file that was named is missing.
    """
    path = Path(path).absolute()
    if isinstance(model, LoadedModel):
        given = (flavor, signature, example, requirements, code, artifacts, metadata)
        return _copied(model, path, as_it_is=all(one is None for one in given))
    if requirements is not None:
        requirements = checked_requirements(requirements)
    chosen = flavor_for(model, flavor)
    given = as_example(example)
    with _arriving(path) as folder, tempfile.TemporaryDirectory() as fetched:
        material = Material(given.data if given else None, attached(artifacts or {}, chosen, Path(fetched)))
        written = _written(chosen, model, folder, material)
        _copy_code(code or (), folder)
        entries = _entries(chosen, written, folder)
        hinted = hinted_signature(model) if chosen.NAME == "python_function" else None
        signature = signature or (hinted if given is None else None)
        about: dict[str, Any] = {"run_id": run_id, **({"metadata": dict(metadata)} if metadata else {})}
        _describe(folder, entries, signature, about)
        if given is not None:
            about["saved_input_example_info"] = write_example(given, folder)
            signature = signature or _inferred_signature(chosen, written, folder, given, hinted)
            _describe(folder, entries, signature, about)
        _write_environment(folder, requirements)
        digest = write_manifest(folder)
        folder.rename(path)
    return SavedModel(path, digest, chosen.NAME)


def _copied(model: LoadedModel, path: Path, *, as_it_is: bool) -> SavedModel:
    """Copy a model that was loaded, by MLflow's hand or ours; one without a manifest gets it."""
    if not as_it_is:
        raise ModelError(
            "A loaded model is kept as it is, with its own example and signature: leave the other arguments out, or"
            " give the library's own object, model.native()."
        )
    with _arriving(path) as folder:
        shutil.copytree(model.folder, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
        digest = manifest_digest(folder) if (folder / MANIFEST).exists() else write_manifest(folder)
        folder.rename(path)
    return SavedModel(path, digest, flavor_in(read_descriptor(path).flavors).NAME)


class _arriving:  # noqa: N801 - a context manager that reads as a word
    """A folder beside `path` that becomes it, or is removed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        if self._path.exists():
            raise ArtifactError(f"{self._path} exists already; choose a path where nothing is.")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{self._path.name}.", dir=self._path.parent))
            self._folder.chmod(0o755)
        except OSError as error:
            raise ArtifactError(f"{self._path} cannot be made ({error.strerror}); choose another path.") from error
        return self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _written(flavor: Flavor, model: Any, folder: Path, material: Material) -> Written:
    try:
        return flavor.save(model, folder, material)
    except ValueError as error:
        raise ModelError(f"The model cannot be saved: {error}.") from error


def _inferred_signature(
    flavor: Flavor, written: Written, folder: Path, example: Example, hinted: Signature | None
) -> Signature:
    """Score the example with the model as it was saved: what holds for the files is what is promised."""
    try:
        # What a flavor of another package gives has the attributes that its author needed.
        loaded = getattr(written, "loaded", None) or flavor.load(folder, written.config)
        known = infer_signature(example.data, params=example.params)
        known = replace(hinted, params=known.params) if hinted else known
        answer = loaded.predict(*Plan(known, item_of(loaded.native)).fit(example.data, example.params))
    except ModelError:
        raise
    except Exception as error:  # the model is anybody's code
        raise ModelError(
            f"The model does not score its own example ({type(error).__name__}: {error}); give one that it can."
        ) from error
    return known if known.outputs else replace(known, outputs=infer_outputs(answer))


def _copy_code(code: Sequence[str | Path], folder: Path) -> None:
    if isinstance(code, (str, Path)):
        raise ModelError(f"code={str(code)!r} is one path; give a list of them.")
    for entry in code:
        source = Path(entry)
        target = folder / _CODE / source.resolve().name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".git", ".venv"))
        elif source.is_file():
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
        else:
            raise ArtifactError(f"{source} in code= is no file and no folder; give paths that exist.")


def _entries(flavor: Flavor, written: Written, folder: Path) -> dict[str, dict[str, Any]]:
    has_code = (folder / _CODE).is_dir()
    loader = written.loader or write_companion(flavor, folder / _CODE)
    code = _CODE if has_code or written.loader is None else None
    python_function = {
        **written.python_function,
        "code": code,
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": loader,
        "python_version": platform.python_version(),
    }
    if flavor.NAME == "python_function":
        return {"python_function": {**written.config, **python_function}}
    return {"python_function": python_function, flavor.NAME: {**written.config, "code": code}}


def _describe(
    folder: Path, flavors: dict[str, dict[str, Any]], signature: Signature | None, about: dict[str, Any]
) -> None:
    content: dict[str, Any] = {
        "flavors": flavors,
        "model_uuid": uuid.uuid4().hex,
        "utc_time_created": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f"),
        **about,
    }
    if signature is not None:
        content["signature"] = signature.as_mlmodel()
    _write_yaml(folder / "MLmodel", content)


def _write_environment(folder: Path, requirements: Sequence[str] | None) -> None:
    if requirements is None:
        requirements = _inferred(folder)
    python = platform.python_version()
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements))
    _write_yaml(folder / "python_env.yaml", {"python": python, "dependencies": ["-r requirements.txt"]})
    pip = {"pip": list(requirements)}
    conda = {"name": "model", "channels": ["conda-forge"], "dependencies": [f"python={python}", "pip", pip]}
    _write_yaml(folder / "conda.yaml", conda)


def _inferred(folder: Path) -> list[str]:
    try:
        write_manifest(folder)  # the clean process loads it as anybody would: verified
    except ManifestError as error:
        raise ModelError(f"The model cannot be saved: {error}; leave it out of code=[...].") from error
    return infer_requirements(folder)


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
