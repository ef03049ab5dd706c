"""Bentos: a registered version, packaged once with the code that serves it, and kept beside the artifacts."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from ..environments import Declared, Environment, realise
from ..environments.uv import child_environ, uv_program
from ..errors import BentoFailed, EnvironmentFailed, IntegrityError
from ..registry import ModelVersion, get_model_version
from ..store import Store, current_store, now_ms, schema
from ..store.artifacts import exists, fetch, join, put_folder
from ..store.upsert import upsert
from .models.loading import fetch_model
from .runtime.descriptor import read_descriptor
from .runtime.manifest import ManifestError, verify

__all__ = ["BENTOML", "PACKAGE", "Bento", "bento_environment", "build_bento", "fetch_bento"]

PACKAGE = "prefect_ml_scoring"  # the runtime's name inside a Bento
_RUNTIME = Path(__file__).parent / "runtime"
_NOT_SERVED = ("probe.py",)
BENTOML = "bentoml>=1.4.39,<1.5"
_SECONDS = 600


@dataclass(frozen=True)
class Bento:
    """A Bento of one model version.

    Attributes:
        digest: What it was built from: the model's bytes and the code that serves them.
        uri: Where its exported folder lies.
    """

    name: str
    version: int
    digest: str
    uri: str


def build_bento(name: str, version: int, *, store: Store | None = None) -> Bento:
    """Build the Bento of a registered version, with the model's own packages; once for the same bytes.

    Raises:
        ModelNotFound, VersionNotFound: There is no such version.
        IntegrityError: The model's files are not those that were registered.
        BentoFailed: It cannot be built; nothing is left behind.
    """
    store = current_store(store)
    source = get_model_version(name, version, store=store)
    digest = _recipe(source)
    uri = join(store.settings.artifact_root, "bentos", quote(name, safe=""), f"{version}-{digest[:16]}")
    bento = Bento(source.name, source.version, digest, uri)
    if not (_is_recorded(bento, store) and exists(join(uri, "bento.yaml"))):
        _build(bento, source, store)
        _record(bento, store)
    return bento


def fetch_bento(bento: Bento, to: Path, *, store: Store | None = None) -> Path:
    """Copy a Bento's exported folder to `to`, and see that it holds the registered model and our code, nothing else.

    Raises:
        IntegrityError: It does not.
    """
    registered = get_model_version(bento.name, bento.version, store=store)
    fetch(bento.uri, to)
    try:
        if verify(to / "src" / "model") != registered.digest:
            raise ManifestError("its model is not the registered one")
        _check_code(to / "src")
    except ManifestError as error:
        shutil.rmtree(to, ignore_errors=True)
        raise IntegrityError(
            f"The Bento of {bento.name} version {bento.version} cannot be trusted: {error};"
            f" remove {bento.uri} and deploy again."
        ) from error
    return to


def _served() -> list[Path]:
    return [path for path in _RUNTIME.rglob("*.py") if path.name not in _NOT_SERVED]


def _check_code(src: Path) -> None:
    for folder in list(src.glob(f"{PACKAGE}/**/__pycache__")):
        shutil.rmtree(folder)
    ours = {f"{PACKAGE}/{path.relative_to(_RUNTIME).as_posix()}": path for path in _served()}
    known = {*ours, "serving.json", "bentofile.yaml"}
    for path in src.rglob("*"):
        name = path.relative_to(src).as_posix()
        if path.is_dir() or name.startswith("model/"):
            continue
        if name not in known or (name in ours and path.read_bytes() != ours[name].read_bytes()):
            raise ManifestError(f"its file {name!r} is not one of ours")


def bento_environment(model: Path, *, origin: str, store: Store) -> Environment:
    """Realise the environment that serves a model folder: its own packages and BentoML, resolved together.

    Raises:
        BentoFailed: It cannot be built.
    """
    lines = (model / "requirements.txt").read_text().splitlines()
    signature = read_descriptor(model).signature
    if signature is not None and signature.columns and not any(re.match(r"pandas\b", line) for line in lines):
        lines.append("pandas")
    declared = Declared(requirements="\n".join([*lines, BENTOML, ""]), python=_python_of(model), origin=origin)
    try:
        return realise(declared, root=store.settings.environments)
    except EnvironmentFailed as error:
        raise BentoFailed(f"{origin} cannot be served: {error}") from error


def _recipe(source: ModelVersion) -> str:
    parts = [source.digest, source.run_id, BENTOML]
    parts += [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(_RUNTIME.rglob("*.py"))]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _is_recorded(bento: Bento, store: Store) -> bool:
    query = sa.select(schema.bentos.c.uri).where(
        schema.bentos.c.name == bento.name,
        schema.bentos.c.version == bento.version,
        schema.bentos.c.digest == bento.digest,
    )
    with store.read() as connection:
        return connection.execute(query).scalar() == bento.uri


def _record(bento: Bento, store: Store) -> None:
    key = {"name": bento.name, "version": bento.version, "digest": bento.digest}
    with store.write() as connection:
        upsert(connection, schema.bentos, key, {"uri": bento.uri, "created_at": now_ms()})


def _build(bento: Bento, source: ModelVersion, store: Store) -> None:
    with tempfile.TemporaryDirectory(prefix="prefect-ml-bento-") as temporary:
        root = Path(temporary)
        context = root / "context"
        model = fetch_model(f"models:/{bento.name}/{bento.version}", context / "model", store=store)
        shutil.copytree(_RUNTIME, context / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", *_NOT_SERVED))
        (context / "serving.json").write_text(json.dumps(_identity(bento, source), indent=2))
        environment = bento_environment(model, origin=f"Model {bento.name} version {bento.version}", store=store)
        _pack(bento, source, environment, root)
        put_folder(root / "export", bento.uri)


def _identity(bento: Bento, source: ModelVersion) -> dict[str, Any]:
    run_id = source.run_id or ""
    return {
        "name": bento.name,
        "version": bento.version,
        "run_id": run_id,
        "digest": source.digest,
        "bento": _tag(bento.name),
        "headers": {"X-Model-Name": bento.name, "X-Model-Version": str(bento.version), "X-Run-Id": run_id},
    }


def _pack(bento: Bento, source: ModelVersion, environment: Environment, root: Path) -> None:
    order = {
        "context": str(root / "context"),
        "name": _tag(bento.name),
        "version": f"v{bento.version}-{bento.digest[:12]}",
        "description": f"Version {bento.version} of the model {bento.name}, packaged by prefect-ml.",
        "labels": {
            "prefect-ml.model": bento.name,
            "prefect-ml.version": str(bento.version),
            "prefect-ml.run-id": source.run_id or "",
            "prefect-ml.model-digest": source.digest,
            "prefect-ml.digest": bento.digest,
        },
        "out": str(root / "export"),
    }
    command = [str(environment.python), "-m", f"{PACKAGE}.pack", json.dumps(order)]
    try:
        done = subprocess.run(
            command, cwd=root / "context", env=_environ(environment, root / "home"), capture_output=True, text=True,
            timeout=_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BentoFailed(f"The Bento of {bento.name} version {bento.version} took over {_SECONDS} s.") from None
    if done.returncode or not (root / "export" / "bento.yaml").is_file():
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BentoFailed(
            f"The Bento of {bento.name} version {bento.version} cannot be built ({reason});"
            " mend the model's requirements and log it again."
        )


def _environ(environment: Environment, home: Path) -> dict[str, str]:
    # BentoML looks for uv on the path, even where nothing is resolved.
    path = f"{environment.python.parent}:{Path(uv_program()).parent}:/usr/bin:/bin"
    return {**child_environ(), "PATH": path, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}


def _python_of(model: Path) -> str | None:
    """Give the minor version of Python that the model was saved with: pickles hold bytecode of that version."""
    import yaml

    try:
        version = str(yaml.safe_load((model / "python_env.yaml").read_text())["python"])
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return None
    return ".".join(version.split(".")[:2])


def _tag(name: str) -> str:
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:63] or "model"
