"""Repositories on servers: over HTTP with a password, over ssh with a key, and what is said where these do not fit."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings()


@pytest.fixture
def server(tmp_path: Path, git_server: Callable[[Path], Any]) -> Any:
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
    return git_server(root)


def all_text(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def test_a_private_repository_is_fetched_and_its_password_is_nowhere(
    settings: Settings, server: Any, tmp_path: Path
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


def test_a_password_in_the_address_works_and_is_not_kept(settings: Settings, server: Any) -> None:
    address = server.url.replace(
        "://", f"://me:{PASSWORD.replace('+', '%2B').replace('/', '%2F').replace('@', '%40')}@"
    )
    found = fetch(f"{address}/private/project.git", settings=settings)
    assert found.uri == f"{server.url}/private/project.git"
    assert b"s3cr3t" not in all_text(settings.home)
    with pytest.raises(ProjectError, match="no repository") as caught:
        fetch(f"{address}/private/other.git", settings=settings)
    assert "s3cr3t" not in str(caught.value)


def test_who_may_not_read_is_told_so_in_one_sentence(settings: Settings, server: Any) -> None:
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


def test_a_password_goes_to_its_own_host_only(
    settings: Settings, server: Any, git_server: Callable[[Path], Any], tmp_path: Path
) -> None:
    other = git_server(server.root)
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


def test_a_commit_that_is_here_is_given_while_the_server_is_away(
    settings: Settings, git_server: Callable[[Path], Any], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-b", "main")
    git(work, "commit", "--allow-empty", "-m", "one")
    git(tmp_path, "clone", "--bare", str(work), "served/open.git")
    served = git_server(tmp_path / "served")
    first = fetch(f"{served.url}/open.git", settings=settings)
    served.stop()
    assert fetch(f"{served.url}/open.git", version=first.commit, settings=settings).folder == first.folder
    with pytest.raises(ProjectError, match="cannot be reached"):
        fetch(f"{served.url}/open.git", settings=settings)


def test_the_name_of_a_prefect_block_gives_the_login(
    server: Any, in_prefect: Callable[..., Any], tmp_path: Path
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


def test_a_repository_is_fetched_over_ssh(
    settings: Settings, server: Any, ssh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setenv("GIT_SSH_COMMAND", ssh.command)
    place = f"{ssh.url}{server.root}"
    found = fetch(f"{place}/open/project.git", version="main", settings=settings)
    assert (found.folder / "train.py").is_file()
    assert found.uri == f"{place}/open/project.git"
    monkeypatch.setenv("GIT_SSH_COMMAND", f"{ssh.command} -p {ssh.port}")
    short = fetch(f"{user}@127.0.0.1:{server.root}/open/project.git#.", settings=settings)
    assert short.commit == found.commit
    with pytest.raises(ProjectError, match="no repository"):
        fetch(f"{place}/open/nothing.git", settings=settings)
    with pytest.raises(ProjectError, match="needs authentication; see that ssh has a key"):
        fetch(f"ssh://nobody-here@127.0.0.1:{ssh.port}/x.git", settings=settings)
    monkeypatch.setenv("GIT_SSH_COMMAND", ssh.command.replace("/known", "/nowhere"))
    with pytest.raises(ProjectError, match="not known to ssh"):
        fetch(f"{place}/open/project.git", settings=settings)
