"""Repositories on servers: over HTTP with a password, over ssh with a key, and what is said where these do not fit."""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from prefect_ml.errors import ProjectError
from prefect_ml.flows.projects.sources import checkout, fetch
from prefect_ml.flows.projects.sources.credentials import login_for
from prefect_ml.settings import Settings, load_settings

PASSWORD = "s3cr3t+to/ken@x"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "protocol.file.allow=always"]
    done = subprocess.run([*command, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass
class GitServer:
    """`git http-backend` behind a small server that asks for a name and a password."""

    root: Path
    username: str = "me"
    password: str = PASSWORD
    seen: list[str] = field(default_factory=list)
    url: str = ""

    def start(self) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"git_server": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        return server


class _Handler(BaseHTTPRequestHandler):
    git_server: GitServer

    def do_GET(self) -> None:
        mine = self.git_server
        # Where somebody would look for secrets while Git is at work.
        mine.seen += [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
        wanted = base64.b64encode(f"{mine.username}:{mine.password}".encode()).decode()
        if self.path.startswith("/private") and self.headers.get("Authorization") != f"Basic {wanted}":
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


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """A server with `private/project.git`, which holds a submodule on the same server, and `open/project.git`."""
    root = tmp_path / "served"
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-b", "main")
    (work / "train.py").write_text("print(1)\n")
    git(work, "add", ".")
    git(work, "commit", "-m", "one")
    (root / "private").mkdir(parents=True)
    git(root, "clone", "--bare", str(work), "private/part.git")
    git(root, "clone", "--bare", str(work), "open/project.git")
    git(work, "submodule", "add", str(root / "private" / "part.git"), "part")
    git(work, "config", "--file", ".gitmodules", "submodule.part.url", "../part.git")
    git(work, "commit", "-am", "two")
    git(root, "clone", "--bare", str(work), "private/project.git")
    served = GitServer(root)
    running = served.start()
    try:
        yield served
    finally:
        running.shutdown()
        running.server_close()


def all_text(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def test_a_private_repository_is_fetched_and_its_password_is_nowhere(
    settings: Settings, server: GitServer, tmp_path: Path
) -> None:
    said: list[str] = []
    uri = f"{server.url}/private/project.git#part"
    login = SimpleNamespace(username="me", password=PASSWORD)
    found = fetch(uri, settings=settings, credentials=login, report=said.append)
    assert (found.folder / "train.py").read_text() == "print(1)\n", "the submodule is on the same server"
    assert found.uri == uri
    assert found.remote == f"{server.url}/private/project.git"
    copy = checkout(found, tmp_path / "copy")
    secrets = (PASSWORD, "s3cr3t%2Bto%2Fken%40x", "s3cr3t")
    places = [repr(found), *said, *server.seen]
    assert any("git-remote-http" in line for line in server.seen), "the processes were looked at"
    assert not [place for place in places if any(secret in place for secret in secrets)]
    for folder in (settings.home, copy.parent):
        assert not [secret for secret in secrets if secret.encode() in all_text(folder)]


def test_a_password_in_the_address_works_and_is_not_kept(settings: Settings, server: GitServer) -> None:
    address = server.url.replace(
        "://", f"://me:{PASSWORD.replace('+', '%2B').replace('/', '%2F').replace('@', '%40')}@"
    )
    found = fetch(f"{address}/private/project.git", settings=settings)
    assert found.uri == f"{server.url}/private/project.git"
    assert b"s3cr3t" not in all_text(settings.home)
    with pytest.raises(ProjectError, match="no repository") as caught:
        fetch(f"{address}/private/other.git", settings=settings)
    assert "s3cr3t" not in str(caught.value)


def test_who_may_not_read_is_told_so_in_one_sentence(settings: Settings, server: GitServer) -> None:
    uri = f"{server.url}/private/project.git"
    with pytest.raises(ProjectError, match="needs authentication"):
        fetch(uri, settings=settings)
    with pytest.raises(ProjectError, match="refuses these credentials") as caught:
        fetch(uri, settings=settings, credentials={"username": "me", "password": "wrong-one"})
    chain = f"{caught.value} {caught.value.__cause__}"
    assert "wrong-one" not in chain
    assert "\n" not in str(caught.value)
    with pytest.raises(ProjectError, match="no repository"):
        fetch(f"{server.url}/open/nothing.git", settings=settings)
    assert not list((settings.home / "projects").glob("*/*")), "nothing is left of what was refused"


def test_a_password_goes_to_its_own_host_only(settings: Settings, server: GitServer, tmp_path: Path) -> None:
    other = GitServer(server.root)
    running = other.start()
    try:
        work = tmp_path / "work"
        git(work, "config", "--file", ".gitmodules", "submodule.part.url", f"{other.url}/private/part.git")
        git(work, "commit", "-am", "three")
        git(work, "push", str(server.root / "private" / "project.git"), "main")
        with pytest.raises(ProjectError, match=r"A submodule of .* cannot be fetched"):
            fetch(
                f"{server.url}/private/project.git",
                settings=settings,
                credentials={"username": "me", "token": PASSWORD},
            )
    finally:
        running.shutdown()
        running.server_close()


def test_a_commit_that_is_here_is_given_while_the_server_is_away(settings: Settings, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-b", "main")
    git(work, "commit", "--allow-empty", "-m", "one")
    git(tmp_path, "clone", "--bare", str(work), "served/open.git")
    served = GitServer(tmp_path / "served")
    running = served.start()
    first = fetch(f"{served.url}/open.git", settings=settings)
    running.shutdown()
    running.server_close()
    assert fetch(f"{served.url}/open.git", version=first.commit, settings=settings).folder == first.folder
    with pytest.raises(ProjectError, match="cannot be reached"):
        fetch(f"{served.url}/open.git", settings=settings)


def test_the_name_of_a_prefect_block_gives_the_login(
    server: GitServer, in_prefect: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "prefect"
    folder.mkdir()
    code = f"""
import json
from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from pydantic import SecretStr
from prefect_ml.errors import ProjectError
from prefect_ml.flows.projects.sources import fetch
from prefect_ml.settings import load_settings

class OurGitCredentials(Block):
    username: str
    token: SecretStr

OurGitCredentials(username="me", token={PASSWORD!r}).save("sources", overwrite=True)
Secret(value={{"username": "me", "password": {PASSWORD!r}}}).save("sources-login", overwrite=True)
uri, settings = "{server.url}/private/project.git", load_settings()
names = ["ourgitcredentials/sources", "secret/sources-login"]
found = [fetch(uri, settings=settings, credentials=name).commit for name in names]
try:
    fetch(uri, settings=settings, credentials="secret/sources-nowhere")
except ProjectError as error:
    print(json.dumps([*found, str(error)]))
"""
    first, second, refused = in_prefect(code, folder)
    assert first == second == git(tmp_path / "work", "rev-parse", "HEAD")
    assert "'secret/sources-nowhere'" in refused
    assert "cannot be loaded" in refused


class Formats:
    """What Prefect's blocks for one host have in common: they write their login into the address themselves."""

    def format_git_credentials(self, url: str) -> str:
        return url.replace("://", "://oauth2:t%2Fk@")


class Plain:
    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


class Hidden:
    def get_secret_value(self) -> str:
        return "t/k"


@pytest.mark.parametrize(
    ("credentials", "host", "login"),
    [
        (Formats(), "gitlab.example", ("oauth2", "t/k")),
        (Plain(token="t/k"), "github.example", ("x-access-token", "t/k")),
        (Plain(token=Hidden()), "gitlab.example", ("oauth2", "t/k")),
        (Plain(token="deploy:t/k"), "gitlab.example", ("deploy", "t/k")),
        (Plain(token="t/k"), "bitbucket.example", ("x-token-auth", "t/k")),
        ({"username": "me", "access_token": "t/k"}, "bitbucketserver.example", ("me", "t/k")),
        ({"username": "me", "password": "t/k"}, "git.example", ("me", "t/k")),
    ],
)
def test_each_host_gets_the_login_that_it_wants(credentials: Any, host: str, login: tuple[str, str]) -> None:
    found = login_for(credentials, f"https://{host}/team/project.git")
    assert (found.username, found.password) == login
    assert "t/k" not in repr(found)


def test_credentials_that_cannot_be_used_are_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="holds no token"):
        login_for(Plain(username="me"), "https://git.example/p.git")
    with pytest.raises(ProjectError, match="over ssh, your keys count"):
        fetch("git@git.example:team/p.git", settings=settings, credentials={"token": "t"})
    with pytest.raises(ProjectError, match="takes no credentials"):
        fetch(tmp_path, settings=settings, credentials={"token": "t"})


@pytest.fixture
def ssh(tmp_path: Path, need: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A real sshd on a free port, and a client that knows its host and has a key."""
    program = need("sshd")
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\n"
    )
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    options = f"-F none -i {folder}/user -o IdentitiesOnly=yes -o UserKnownHostsFile={folder}/known"
    monkeypatch.setenv("GIT_SSH_COMMAND", f"ssh {options} -o StrictHostKeyChecking=yes")
    daemon = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if any(one.laddr.port == port for one in psutil.Process(daemon.pid).net_connections()):
                break
            time.sleep(0.05)
        yield port
    finally:
        daemon.kill()
        daemon.wait()


def test_a_repository_is_fetched_over_ssh(
    settings: Settings, server: GitServer, ssh: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    place = f"ssh://{user}@127.0.0.1:{ssh}{server.root}"
    found = fetch(f"{place}/open/project.git", version="main", settings=settings)
    assert (found.folder / "train.py").is_file()
    assert found.uri == f"{place}/open/project.git"
    monkeypatch.setenv("GIT_SSH_COMMAND", f"{os.environ['GIT_SSH_COMMAND']} -p {ssh}")
    short = fetch(f"{user}@127.0.0.1:{server.root}/open/project.git#.", settings=settings)
    assert short.commit == found.commit
    with pytest.raises(ProjectError, match="no repository"):
        fetch(f"{place}/open/nothing.git", settings=settings)
    with pytest.raises(ProjectError, match="needs authentication; see that ssh has a key"):
        fetch(f"ssh://nobody-here@127.0.0.1:{ssh}/x.git", settings=settings)
    monkeypatch.setenv("GIT_SSH_COMMAND", os.environ["GIT_SSH_COMMAND"].replace("/known", "/nowhere"))
    with pytest.raises(ProjectError, match="not known to ssh"):
        fetch(f"{place}/open/project.git", settings=settings)
