"""What a run ran: code, software and the Prefect run around it, found out once per process, off the caller's path."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import logging
import os
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import ArtifactError, StoreError
from ...store import Source, Store
from ...store.artifacts import exists, join, put_file
from ...store.entries import environment_entry, source_entry
from ...store.records import RunEnvironment
from ...store.runs import OpenRun
from ...store.writer import Writer
from .background import background
from .code_state import CodeState, code_state
from .deployment import DeployedFlow, deployed_flow
from .flow_facts import deployments, flow_facts
from .patches import make_patch
from .software import software

__all__ = ["Capture", "Given", "capture_source", "entry_point_of", "notebook_of", "source_file_of"]

_PATIENCE = 5.0
_LOOK_AGAIN = 60.0  # seconds after which a notebook's code may have become another
_log = logging.getLogger("prefect_ml")


class Repository:
    """The repository around a folder, as it was when this process first asked."""

    def __init__(self, folder: Path, home: Path, artifact_root: str) -> None:
        self._folder = folder
        self._artifact_root = artifact_root
        self._ours = (home, *([] if "://" in artifact_root else [Path(artifact_root)]))
        self.known: Source | None = None

    @property
    def is_uploading(self) -> bool:
        """Whether what differs from the commit may be on its way to another machine."""
        return self.known is None and "://" in self._artifact_root

    def look(self, tell: Callable[[Source], None]) -> Source:
        """Find out, or give what was found before.

        Args:
            tell: Gets what is known before the changes are uploaded, which may take long.
        """
        if self.known is None:
            # An installed library is not what the repository around its environment holds.
            installed = "site-packages" in self._folder.parts
            state = None if installed else code_state(self._folder, ignored=self._ours)
            found = _source(state) if state else Source(str(self._folder))
            if state and state.dirty:
                tell(found)
                found = replace(found, changes=self._keep(state))
            self.known = found
        return self.known

    def _keep(self, state: CodeState) -> str | None:
        """Keep what differs from the commit under its digest, once for all runs, and give its place."""
        patch = make_patch(state)
        if patch.unread:
            _log.warning("%s", _unread_sentence(patch.unread))
        content = patch.content
        uri = join(self._artifact_root, "code", f"{hashlib.sha256(content).hexdigest()}.diff")
        try:
            if not exists(uri):
                with tempfile.NamedTemporaryFile() as file:
                    file.write(content)
                    file.flush()
                    put_file(Path(file.name), uri)
        except ArtifactError as error:
            _log.warning("What differs from the commit was not kept: %s", error)
            return None
        return uri


@dataclass(frozen=True)
class Given:
    """What whoever opens a run for other code says of that code.

    Attributes:
        environment: The software that it runs with.
        source: Fields of its source, by name; they go before what is found out.
    """

    environment: RunEnvironment
    source: Mapping[str, Any]


class Capture:
    """What is known of a run when it opens, and the rest, told when it is found out.

    Attributes:
        source: Where its code comes from, as far as that is known.
        environment: Digest of its software, where the store is known to hold it.
    """

    def __init__(
        self, repository: Repository | None, entry_point: str | None, store: Store, given: Given | None = None
    ) -> None:
        self._repository = repository
        self._given = given
        self._entry_point = entry_point
        self._facts = flow_facts()
        self._deployed = None if given else deployed_flow()
        known = repository.known if repository else Source()
        self.source = self._whole(known or Source())
        self.environment = software().digest if _shared.holds_software(store) and not given else None
        unnamed = self._facts and deployments.lacks(self._facts.deployment_id)
        self._complete = known is not None and self.environment is not None and not unnamed

    def begin(self, run: OpenRun, writer: Writer) -> None:
        """Have the rest found out and written; nothing, where all was known when the run was made."""
        if not self._complete or run.attempt > 1:
            background.add(lambda: self._find_out(run.id, writer))
        if (deployed := self._deployed) and deployed.id == run.id:
            background.add(lambda: _keep(deployed, run.artifact_uri))

    def wait(self) -> None:
        """Wait until all is told, at most a few seconds."""
        background.drain(_PATIENCE)

    def wait_for_upload(self) -> None:
        """Wait where something may be sent to another machine: a process that is ending cannot do that any more."""
        if self._deployed or (self._repository and self._repository.is_uploading):
            self.wait()

    def _find_out(self, run_id: str, writer: Writer) -> None:
        def tell(source: Source) -> None:
            writer.post(source_entry(run_id, asdict(self._whole(source))))

        writer.post(environment_entry(run_id, self._given.environment if self._given else software()))
        if self._facts:
            deployments.ask(self._facts.deployment_id)
        tell(self._repository.look(tell) if self._repository else Source())
        if not self._given:
            _shared.hold_software(writer)

    def _whole(self, source: Source) -> Source:
        prefect: Mapping[str, Any] | None = self._facts.as_record() if self._facts else None
        own = self._deployed.source(source) if self._deployed else _inherited()
        given = self._given.source if self._given else own
        return replace(source, entry_point=self._entry_point, prefect=prefect, **given)


def capture_source(file: str | None, entry_point: str | None, store: Store, given: Given | None = None) -> Capture:
    """Prepare to say what a run ran.

    Args:
        file: The file, or the folder, that its code is in.
        entry_point: What of it is called.
        store: Where the run is kept.
        given: What the caller knows better.
    """
    folder = _folder_of(file) if file else None
    if given and folder:  # other processes run it, each as it is then
        settings = store.settings
        return Capture(Repository(folder, settings.home, settings.artifact_root), entry_point, store, given)
    return Capture(_repository_of(folder, store) if folder else None, entry_point, store, given)


def entry_point_of(fn: Callable[..., object]) -> str:
    """Name a function in full, for the record."""
    return f"{fn.__module__}.{fn.__qualname__}"


def source_file_of(fn: Callable[..., object]) -> str | None:
    """Give the file that a function was written in, under its decorators; None for what no file holds."""
    written = inspect.unwrap(fn)
    try:
        file = inspect.getsourcefile(written)
    except TypeError:
        return None
    # The cell of a notebook has a file name that no file has.
    return file if file and Path(file).exists() else notebook_of(getattr(written, "__globals__", {})) or file


def notebook_of(namespace: Mapping[str, Any]) -> str | None:
    """Give the notebook that a namespace belongs to, as far as its editor tells; None outside of notebooks."""
    named = namespace.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or ""
    if not named.endswith(".ipynb") or "ipykernel" not in sys.modules:
        return None
    return named if Path(named).exists() else str(Path.cwd() / Path(named).name)


@functools.cache
def _inherited() -> Mapping[str, Any]:
    """Give what the process that runs a project has told this one, which is the project's code."""
    try:
        told: dict[str, Any] = json.loads(os.environ.get("PREFECT_ML_PROJECT", "{}"))
    except ValueError:
        return {}
    return {name: value for name, value in told.items() if name in Source.__dataclass_fields__}


class _Shared:
    """Which stores hold the record of this process's software."""

    def __init__(self) -> None:
        self._stores: weakref.WeakSet[Store] = weakref.WeakSet()

    def holds_software(self, store: Store) -> bool:
        return store in self._stores

    def hold_software(self, writer: Writer) -> None:
        """Have the record written; runs that open from then on only refer to it."""
        if writer.store not in self._stores:
            try:
                writer.flush()
            except StoreError:
                return  # the next run brings it along once more
            self._stores.add(writer.store)


_shared = _Shared()


def _folder_of(file: str) -> Path | None:
    path = Path(file).absolute()
    if path.is_dir():
        return path
    return path.parent if path.exists() or (path.suffix == ".ipynb" and path.parent.is_dir()) else None


def _repository_of(folder: Path, store: Store) -> Repository:
    # A script runs what it has loaded; in a notebook, code comes and goes.
    moment = int(time.monotonic() / _LOOK_AGAIN) if "ipykernel" in sys.modules else 0
    return _repository(folder, store.settings.home, store.settings.artifact_root, moment)


@functools.lru_cache(maxsize=32)
def _repository(folder: Path, home: Path, artifact_root: str, _: int) -> Repository:
    return Repository(folder, home, artifact_root)


def _keep(deployed: DeployedFlow, artifact_uri: str) -> None:
    try:
        deployed.keep(artifact_uri)
    except ArtifactError as error:
        _log.warning("What it takes to run this flow again was not kept: %s", error)


def _unread_sentence(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 10} more" if len(paths) > 10 else ""
    named = ", ".join(repr(path) for path in paths[:10])
    advice = "make them readable, or name them in .gitignore"
    return f"Local changes to {named}{more} cannot be read and are not kept, so no rerun can have them; {advice}."


def _source(state: CodeState) -> Source:
    return Source(str(state.root), commit=state.commit, dirty=state.dirty, branch=state.branch, remote=state.remote)
