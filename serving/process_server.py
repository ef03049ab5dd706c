"""The first serving target: one child process per version, with the model's own interpreter, on a private port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from ..environments.uv import child_environ
from ..errors import ServingError
from ..processes import Owner, is_alive, owner_of
from ..store import Store
from .bentos import PACKAGE, bento_environment, build_bento, fetch_bento
from .models.examples import example_request
from .targets import Order

__all__ = ["ProcessServer"]

_GRACE = 10.0
_SERVERS = "servers"  # a folder of its own for every server, even of the same version
# Servers get no credentials: of our own environment they see only what programs need to run.
_PASSED_ON = (
    "CUDA_", "DYLD_", "HOME", "LANG", "LC_", "LD_LIBRARY_PATH", "MKL_", "NVIDIA_", "OMP_", "OPENBLAS_", "PATH",
    "SSL_CERT_", "TMPDIR", "TZ", "_PREFECT_ML_SERVICE",
)  # fmt: skip


class ProcessServer:
    """Serves versions as child processes of the agent."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._root = store.settings.endpoints
        self._children = _Children(self._root / "children.json")

    async def start(self, order: Order) -> _Child:
        """Start a server; see `Target`."""
        given_up = threading.Event()
        starting = asyncio.ensure_future(asyncio.to_thread(self._start, order, given_up))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread cannot be interrupted; what it still starts is ended as soon as it is there.
            given_up.set()
            starting.add_done_callback(_end_unwanted)
            raise

    def reap(self) -> int:
        """End what an earlier agent left behind; see `Target`."""
        ended = self._children.reap()
        for left in self._root.glob(f"*/{_SERVERS}"):
            shutil.rmtree(left, ignore_errors=True)
        return ended

    def _start(self, order: Order, given_up: threading.Event) -> _Child:
        folder = self._root / quote(f"{order.name}-{order.stage}", safe="")
        (folder / _SERVERS).mkdir(parents=True, exist_ok=True, mode=0o700)
        own = Path(tempfile.mkdtemp(prefix=f"v{order.version}-", dir=folder / _SERVERS))
        try:
            return self._start_in(own, order, folder / f"v{order.version}.log", given_up)
        except BaseException:
            shutil.rmtree(own, ignore_errors=True)
            raise

    def _start_in(self, own: Path, order: Order, log: Path, given_up: threading.Event) -> _Child:
        bento = build_bento(order.name, order.version, store=self._store)
        exported = fetch_bento(bento, own / "bento", store=self._store)
        model = exported / "src" / "model"
        environment = bento_environment(model, origin=f"Model {order.name} version {order.version}", store=self._store)
        for part in ("home", "metrics", "cwd"):
            (own / part).mkdir()
        if given_up.is_set():
            raise ServingError(f"{order} is not wanted any more.")
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
            process = _spawn(environment.python, listening, own, log)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        run_id: str = json.loads((exported / "src" / "serving.json").read_text())["run_id"]
        return _Child(order, url, run_id, example_request(model), _Running(process, own, log, self._children))


@dataclass(frozen=True)
class _Running:
    process: subprocess.Popen[bytes]
    folder: Path
    log: Path
    children: _Children


class _Child:
    """One server process; see `Server`."""

    def __init__(self, order: Order, url: str, run_id: str, example: bytes | None, running: _Running) -> None:
        self.order = order
        self.url = url
        self.run_id = run_id
        self.example = example
        self._process = running.process
        self._folder = running.folder
        self._log = running.log
        self._all = running.children
        self._all.add(running.process.pid)

    async def ended(self) -> str:
        """Wait until the process ends by itself."""
        while self._process.poll() is None:
            await asyncio.sleep(0.1)
        self._tidy()
        return f"it ended with code {self._process.returncode} ({_last_line(self._log)}; see {self._log})"

    def kill(self) -> None:
        """End the process at once."""
        _signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._tidy()

    def _tidy(self) -> None:
        self._all.remove(self._process.pid)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def stop(self) -> None:
        """End the process and whatever it started."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        if self._process.poll() is None:
            _signal_group(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        self.kill()


class _Children:
    """Which server processes run, in a file that outlives this process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._owners: dict[int, Owner] = {}

    def add(self, pid: int) -> None:
        if owner := owner_of(pid):
            self._owners[pid] = owner
            self._write()

    def remove(self, pid: int) -> None:
        if self._owners.pop(pid, None):
            self._write()

    def reap(self) -> int:
        try:
            orphans = [Owner(**entry) for entry in json.loads(self._file.read_text())]
        except (OSError, ValueError, TypeError):
            return 0
        alive = [owner for owner in orphans if is_alive(owner)]
        for owner in alive:
            _signal_group(owner.pid, signal.SIGKILL)
        self._write()
        return len(alive)

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(json.dumps([asdict(owner) for owner in self._owners.values()]))
        unfinished.replace(self._file)


def _end_unwanted(starting: asyncio.Future[_Child]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().kill()


def _spawn(python: Path, listening: socket.socket, own: Path, log: Path) -> subprocess.Popen[bytes]:
    descriptor = listening.fileno()
    command = [str(python), "-P", "-m", f"{PACKAGE}.serve", str(own / "bento"), str(descriptor)]
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        return subprocess.Popen(
            command,
            cwd=own / "cwd",
            env=_environ(own),
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _environ(own: Path) -> dict[str, str]:
    passed = {key: value for key, value in child_environ().items() if key.startswith(_PASSED_ON)}
    return {
        **passed,
        "PYTHONPATH": str(own / "bento" / "src"),
        "PYTHONUNBUFFERED": "1",
        # A home and metrics of its own: BentoML's servers wipe one another's when they share.
        "BENTOML_HOME": str(own / "home"),
        "PROMETHEUS_MULTIPROC_DIR": str(own / "metrics"),
        "BENTOML_DO_NOT_TRACK": "True",
    }


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)  # every server leads a session, and so a group, of its own
    except (ProcessLookupError, PermissionError) as error:
        if isinstance(error, PermissionError) and sys.platform == "linux":
            raise


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it said nothing")
