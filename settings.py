"""Where things are kept: settings from arguments, the environment, `pyproject.toml`, a Prefect block, or defaults."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import re
import sys
import threading
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SettingsError

__all__ = ["Settings", "load_settings", "storage_options"]

_KEYS = (
    "home",
    "store_url",
    "artifact_root",
    "experiment",
    "run_id",
    "journal",
    "storage_options",
    "system_metrics",
    "system_metrics_seconds",
    "docker_base",
    "model_cache_bytes",
)
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_log = logging.getLogger("prefect_ml")


@dataclass(frozen=True)
class Settings:
    """One resolved set of settings.

    Attributes:
        home: Folder for everything that has no place of its own.
        store_url: SQLAlchemy URL of the store. It may carry a password, so it is left out of `repr`.
        artifact_root: Folder or fsspec URL under which artifacts are kept.
        experiment: Experiment of runs that name none.
        run_id: Run that the outermost tracked scope attaches to, or None.
        journal: Folder of the crash-safe journals; always on a local disk.
        storage_options: What the fsspec file system of `artifact_root` is opened with, as a JSON object. It may carry
            credentials, so it is left out of `repr`.
        system_metrics: Whether runs record what processor, memory, disk, network and GPU do.
        system_metrics_seconds: How often they do.
        docker_base: Image with a Python on which declared Python environments are put for Docker; empty for the
            official slim image of that Python.
        model_cache_bytes: How large the local cache of models may grow; what is in use stays in any case.
    """

    home: Path
    store_url: str
    artifact_root: str
    experiment: str
    run_id: str | None
    journal: Path
    storage_options: str = ""
    system_metrics: bool = False
    system_metrics_seconds: float = 10.0
    docker_base: str = ""
    model_cache_bytes: int = 20 * 2**30

    def __repr__(self) -> str:
        return f"Settings(home={str(self.home)!r}, experiment={self.experiment!r})"

    @property
    def store_key(self) -> str:
        """A name for the store that gives none of its secrets away."""
        return hashlib.sha256(self.store_url.encode()).hexdigest()[:16]

    @property
    def prefect_home(self) -> Path:
        """Home of the Prefect server that `prefect-ml up` starts."""
        return self.home / "prefect"

    @property
    def environments(self) -> Path:
        """Realised environments, one folder per digest."""
        return self.home / "environments"

    @property
    def model_cache(self) -> Path:
        """Models that lie elsewhere, copied here when they are loaded; one folder per digest."""
        return self.home / "cache" / "models"

    @property
    def services(self) -> Path:
        """State and logs of the background services."""
        return self.home / "services"

    @property
    def endpoints(self) -> Path:
        """Working folders of the model servers on this host."""
        return self.home / "endpoints"


def load_settings(
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    block: Callable[[], Mapping[str, str]] | None = None,
    **overrides: str | None,
) -> Settings:
    """Resolve the settings: argument, environment, pyproject, block `TrackingStore/default`, default.

    Args:
        environ: Environment to read; the process's own by default.
        cwd: Folder from which the nearest `pyproject.toml` is looked for; the working directory by default.
        block: Gives `store_url` and `artifact_root` of the default block; by default the block is asked only where
            Prefect is already imported and an API address is known.
        overrides: `home`, `store_url`, `artifact_root`, `experiment`, `run_id`, `journal`, `storage_options`,
            `system_metrics`, `system_metrics_seconds`, `docker_base`, `model_cache_bytes`; None means not given.

    Raises:
        SettingsError: An unknown setting, or a pyproject table that cannot be read.
    """
    if sys.platform == "win32":
        raise SettingsError("prefect-ml runs on Linux and macOS; on Windows, use it inside WSL.")
    environ = os.environ if environ is None else environ
    given = {key: value for key, value in overrides.items() if value is not None}
    if unknown := set(given) - set(_KEYS):
        raise SettingsError(f"Unknown setting {sorted(unknown)[0]!r}; the settings are {', '.join(_KEYS)}.")
    found = {**_from_pyproject(cwd or Path.cwd()), **_from_environ(environ), **given}
    if "store_url" not in found or "artifact_root" not in found:
        found = {**(block or _default_block)(), **found}
    return _build(tuple(found.items()), str(Path.cwd()), os.path.expanduser("~"))


@functools.lru_cache(maxsize=8)
def _build(items: tuple[tuple[str, str], ...], _cwd: str, _user_home: str) -> Settings:
    """Make settings of what was found; paths depend on the two folders as well."""
    found = dict(items)
    home = Path(found.get("home") or "~/.prefect-ml").expanduser().absolute()
    return Settings(
        home=home,
        store_url=found.get("store_url") or f"sqlite:///{home / 'store.db'}",
        artifact_root=_absolute(found.get("artifact_root") or str(home / "artifacts")),
        experiment=found.get("experiment") or "Default",
        run_id=found.get("run_id") or None,
        journal=Path(found.get("journal") or home / "journal").expanduser().absolute(),
        storage_options=found.get("storage_options", ""),
        system_metrics=_switch("system_metrics", found.get("system_metrics", "off")),
        system_metrics_seconds=_seconds("system_metrics_seconds", found.get("system_metrics_seconds", "10")),
        docker_base=found.get("docker_base", ""),
        model_cache_bytes=_bytes("model_cache_bytes", found.get("model_cache_bytes", str(20 * 2**30))),
    )


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _WORDS:
        raise SettingsError(f"The setting {name} is {text!r}; use 1 or 0.")
    return _WORDS[text.lower()]


def _seconds(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.1 <= number <= 86_400:
        raise SettingsError(f"The setting {name} is {text!r}; use a number of seconds, at least 0.1.")
    return number


def _bytes(name: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text):
        raise SettingsError(f"The setting {name} is {text!r}; use a number of bytes.")
    return int(text)


def storage_options(
    uri: str, *, settings: Settings | None = None, block: Callable[[], Mapping[str, str]] | None = None
) -> dict[str, Any]:
    """Give what the fsspec file system of a URL is opened with, besides what fsspec finds by itself.

    Below the artifact root these are the options in the settings, or else the credentials of the block
    `ArtifactStore/default`, if its URL covers this one. Anywhere else there are none.

    Args:
        uri: An fsspec URL.
        settings: Settings to go by; `load_settings()` by default.
        block: Gives `artifact_root` and `storage_options` of the default block; by default the block is asked only
            where Prefect is already imported and an API address is known.

    Raises:
        SettingsError: The options in the settings are no JSON object.
    """
    settings = settings or load_settings()
    if settings.storage_options and _covers(settings.artifact_root, uri):
        return _parse_options(settings.storage_options)
    try:
        offered = (block or _default_artifact_block)()
    except SettingsError as error:  # the environment may hold credentials, so that nothing is missing
        _log.warning("%s", error)
        return {}
    if offered and _covers(offered["artifact_root"], uri):
        return _parse_options(offered["storage_options"])
    return {}


def _covers(root: str, uri: str) -> bool:
    return uri == root.rstrip("/") or uri.startswith(f"{root.rstrip('/')}/")


def _parse_options(text: str) -> dict[str, Any]:
    try:
        options: Any = json.loads(text)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise SettingsError(
            'PREFECT_ML_STORAGE_OPTIONS must be a JSON object, such as {"key": "...", "secret": "..."}.'
        )
    return options  # pyright: ignore[reportUnknownVariableType]


def _absolute(root: str) -> str:
    return root if "://" in root else str(Path(root).expanduser().absolute())


def _from_environ(environ: Mapping[str, str]) -> dict[str, str]:
    named = {key: environ.get(f"PREFECT_ML_{key.upper()}", "") for key in _KEYS}
    return {key: value for key, value in named.items() if value}


def _from_pyproject(cwd: Path) -> dict[str, str]:
    for folder in (cwd, *cwd.parents):
        file = folder / "pyproject.toml"
        try:
            state = file.stat()
        except OSError:
            continue
        return dict(_read_table(file, state.st_mtime_ns, state.st_size))
    return {}


@functools.lru_cache(maxsize=8)
def _read_table(file: Path, _modified: int, _size: int) -> Mapping[str, str]:
    try:
        table: Any = tomllib.loads(file.read_text()).get("tool", {}).get("prefect_ml", {})
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read ({error}); mend the file.") from error
    if unknown := set(table) - set(_KEYS):
        raise SettingsError(
            f"[tool.prefect_ml] in {file} has the unknown key {sorted(unknown)[0]!r};"
            f" the settings are {', '.join(_KEYS)}."
        )
    return {key: json.dumps(value) if isinstance(value, dict) else str(value) for key, value in table.items()}


def _default_block() -> Mapping[str, str]:
    url = _known_api()
    return _tracking_block.get(url) if url else {}


def _default_artifact_block() -> Mapping[str, str]:
    url = _known_api()
    return _artifact_block.get(url) if url else {}


def _known_api() -> str | None:
    prefect = sys.modules.get("prefect.settings")
    return str(prefect.get_current_settings().api.url or "") if prefect else None


class _BlockOnce:
    """A default block, asked for once per process and API address."""

    def __init__(self, name: str, load: Callable[[Any], dict[str, str]], instead: str) -> None:
        self._name = name
        self._load = load
        self._instead = instead
        self._lock = threading.Lock()
        self._found: dict[str, dict[str, str]] = {}

    def get(self, api_url: str) -> dict[str, str]:
        with self._lock:
            if api_url not in self._found:
                self._found[api_url] = self._ask(api_url)
            return self._found[api_url]

    def _ask(self, api_url: str) -> dict[str, str]:
        from httpx import HTTPError
        from prefect.exceptions import PrefectException

        try:
            # A thread of its own has no event loop, so the synchronous client is used whoever asks.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(self._load_block).result()
        except (HTTPError, PrefectException) as error:
            raise SettingsError(
                f"Prefect at {api_url} cannot be asked for the block {self._name} ({error});"
                f" start that server, or {self._instead}."
            ) from error

    def _load_block(self) -> dict[str, str]:
        from prefect.blocks.core import Block

        try:
            block: Any = Block.load(self._name)
        except ValueError:  # Prefect's word for a block that does not exist
            return {}
        return {key: value for key, value in self._load(block).items() if value}


def _tracking_settings(block: Any) -> dict[str, str]:
    return {"store_url": block.url.get_secret_value(), "artifact_root": block.artifacts}


def _artifact_settings(block: Any) -> dict[str, str]:
    return {"artifact_root": block.url, "storage_options": json.dumps(block.credentials.get_secret_value())}


_tracking_block = _BlockOnce(
    "tracking-store/default",
    _tracking_settings,
    "say where the store is with PREFECT_ML_STORE_URL and PREFECT_ML_ARTIFACT_ROOT",
)
_artifact_block = _BlockOnce(
    "artifact-store/default", _artifact_settings, "give credentials with PREFECT_ML_STORAGE_OPTIONS"
)
