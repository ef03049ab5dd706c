"""Sources: any address of a project becomes a folder, any address of an input a file, and what is wrong is named."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

import prefect_ml
from prefect_ml.errors import ProjectError
from prefect_ml.flows.projects.sources import (
    checkout,
    collect_checkouts,
    digest_of,
    download,
    fetch,
    workspace,
)
from prefect_ml.settings import Settings, load_settings

TEN_AT_ONCE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from prefect_ml.flows.projects.sources import download, fetch, workspace
from prefect_ml.settings import load_settings

repository, url = sys.argv[1:]

def run(number):
    settings = load_settings()
    with workspace(fetch(repository, settings=settings), settings=settings) as copy:
        (copy.folder / "out.txt").write_text(str(number))
        assert sorted(path.name for path in copy.folder.iterdir()) == [".git", "a.b", "out.txt", "top.py"]
    return str(download(url, settings=settings))

with ThreadPoolExecutor(4) as pool:
    print(*set(pool.map(run, range(4))))
"""


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "protocol.file.allow=always"]
    done = subprocess.run([*command, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class Repository:
    """A work tree with three commits, and a bare clone of it."""

    work: Path
    bare: Path
    commits: tuple[str, ...]


def commit(work: Path, text: str) -> str:
    (work / "a.b" / "deep").mkdir(parents=True, exist_ok=True)
    (work / "top.py").write_text(text)
    (work / "a.b" / "deep" / "part.py").write_text(text)
    git(work, "add", ".")
    git(work, "commit", "-m", text)
    return git(work, "rev-parse", "HEAD")


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings()


@pytest.fixture(scope="module")
def first_repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """What each test gets a copy of."""
    work = tmp_path_factory.mktemp("repository") / "work"
    work.mkdir()
    git(work, "init", "-b", "main")
    commits = []
    for number in (1, 2, 3):
        commits.append(commit(work, str(number)))
        git(work, *{1: ("tag", "v1"), 2: ("tag", "-m", "two", "v2"), 3: ("branch", "team/next")}[number])
    git(work.parent, "clone", "--bare", str(work), "project.git")
    return Repository(work, work.parent / "project.git", tuple(commits))


@pytest.fixture
def repository(first_repository: Repository, tmp_path: Path) -> Repository:
    work, bare = tmp_path / "work", tmp_path / "project.git"
    shutil.copytree(first_repository.work, work)
    shutil.copytree(first_repository.bare, bare)
    git(work, "update-index", "--refresh")
    return Repository(work, bare, first_repository.commits)


@dataclass
class Web:
    """A real HTTP server of the files in a folder, which counts what it is asked for."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def gets(self, name: str) -> int:
        return self.asked.count(f"GET /{name}")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    served = Web(tmp_path / "web")
    served.folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            served.asked.append(f"{self.command} {self.path}")

        def log_message(self, *_: object) -> None: ...

        def send_head(self) -> Any:
            if self.path.startswith("/secret"):
                self.send_error(403)
                return None
            return super().send_head()

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(served.folder)))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def make_zip(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/"), text)
    return path


def test_a_folder_is_used_in_place_and_its_state_is_known(
    settings: Settings, repository: Repository, tmp_path: Path
) -> None:
    work = repository.work
    git(work, "remote", "add", "origin", "https://me:token@git.example/team/project.git")
    for address in (work, str(work), work.as_uri()):
        found = fetch(address, settings=settings)
        assert (found.folder, found.in_place, found.dirty) == (work, True, False)
        assert (found.commit, found.branch) == (repository.commits[2], "main")
        assert (found.uri, found.remote) == (str(work), "https://git.example/team/project.git")
    (work / "top.py").write_text("changed")
    part = fetch(f"{work}#a.b/deep/", settings=settings)
    assert (part.folder, part.subfolder, part.dirty) == (work / "a.b" / "deep", "a.b/deep", True)
    with workspace(part, settings=settings) as same:
        assert same is part
    (tmp_path / "plain#1").mkdir()
    outside = fetch(tmp_path / "plain#1", settings=settings)
    assert (outside.folder.name, outside.commit, outside.dirty, outside.remote) == ("plain#1", None, None, None)
    assert not settings.home.exists()


@pytest.mark.parametrize("form", ["{bare}#a.b", "file://{bare}#a.b", "git+file://{work}#a.b", "{work}#a.b"])
def test_a_version_is_a_branch_a_tag_or_a_commit(settings: Settings, repository: Repository, form: str) -> None:
    first, second, third = repository.commits
    versions = {first[:9]: first, "v1": first, second: second, second[:7].upper(): second, "v2": second}
    versions |= {"refs/tags/v2": second, third: third, "main": third, "team/next": third, "refs/heads/main": third}
    address = form.format(bare=repository.bare, work=repository.work)
    for version, expected in versions.items():
        found = fetch(address, version=version, settings=settings)
        assert found.commit == expected
        assert (found.folder / "deep" / "part.py").read_text() == str(repository.commits.index(expected) + 1)
        name = version.removeprefix("refs/heads/")
        assert found.branch == (name if name in ("main", "team/next") else None)
        assert (found.version, found.dirty, found.in_place, found.folder.name) == (version, False, False, "a.b")
        again = fetch(found.uri, version=found.commit, settings=settings)
        assert (again.commit, again.folder) == (found.commit, found.folder), "what is recorded leads back"


def test_a_branch_is_asked_for_anew_each_time(settings: Settings, repository: Repository) -> None:
    said: list[str] = []
    assert fetch(repository.bare, settings=settings, report=said.append).commit == repository.commits[2]
    assert fetch(repository.bare, settings=settings, report=said.append).branch == "main"
    assert said == [f"Fetching the default branch of {repository.bare}"]
    new = commit(repository.work, "4")
    git(repository.work, "push", str(repository.bare), "main")
    assert fetch(repository.bare, settings=settings).commit == new
    bare = next((settings.home / "projects").glob("*/repository.git"))
    assert git(bare, "rev-list", "--all", "--count") == "2", "a commit is fetched without those before it"


def test_a_server_that_gives_no_single_commit_gives_everything(
    settings: Settings, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"COUNT": "1", "KEY_0": "protocol.version", "VALUE_0": "0"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    fetch(repository.bare, settings=settings)
    found = fetch(repository.bare, version=repository.commits[1], settings=settings)
    assert (found.folder / "top.py").read_text() == "2"
    with pytest.raises(ProjectError, match=f"no branch, tag or commit '{'d' * 40}'"):
        fetch(repository.bare, version="d" * 40, settings=settings)


def test_what_a_killed_fetch_has_left_does_no_harm(settings: Settings, repository: Repository) -> None:
    fetch(repository.bare, version="v1", settings=settings)
    clone = next((settings.home / "projects").glob("*/repository.git"))
    (clone / "shallow.lock").touch()
    assert fetch(repository.bare, version="v2", settings=settings).commit == repository.commits[1]
    for pack in (clone / "objects").rglob("*"):
        if pack.is_file():
            pack.chmod(0o644)
            pack.write_bytes(pack.read_bytes()[:20])
    assert fetch(repository.bare, version="main", settings=settings).commit == repository.commits[2]
    new = commit(repository.work, "4")
    git(repository.work, "push", str(repository.bare), "main")
    (clone / "HEAD").unlink()
    found = fetch(repository.bare, settings=settings)
    assert (found.commit, (found.folder / "top.py").read_text()) == (new, "4")


def test_submodules_come_along(settings: Settings, repository: Repository, tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    git(lib, "init", "-b", "main")
    first = commit(lib, "old")
    git(repository.work, "submodule", "add", str(lib), "libs/lib")
    git(repository.work, "commit", "-m", "with lib")
    commit(lib, "new")
    assert git(lib, "rev-parse", "HEAD") != first
    git(repository.work, "push", str(repository.bare), "main")
    found = fetch(f"{repository.bare}#libs/lib/a.b", settings=settings)
    assert (found.folder / "deep" / "part.py").read_text() == "old"
    with workspace(found, settings=settings) as copy:
        assert git(copy.folder, "rev-parse", "HEAD") == first
        assert git(copy.root, "status", "--porcelain") == ""


def test_each_run_works_in_a_clean_copy_that_is_removed(
    settings: Settings, repository: Repository, tmp_path: Path
) -> None:
    found = fetch(repository.bare, settings=settings)
    for _ in range(2):
        with workspace(found, settings=settings) as copy:
            assert copy.folder.name == "project"
            assert git(copy.folder, "status", "--porcelain") == ""
            assert git(copy.folder, "rev-parse", "HEAD") == found.commit
            (copy.folder / "top.py").write_text("written by the run")
            git(copy.folder, "commit", "-am", "by the run")
            (copy.folder / "out.bin").write_bytes(os.urandom(100))
        assert not copy.folder.exists()
    assert git(found.folder, "status", "--porcelain") == ""
    assert (found.folder / "top.py").read_text() == "3"
    part = checkout(fetch(f"{repository.bare}#a.b", settings=settings), tmp_path / "mine")
    assert part == tmp_path / "mine" / "a.b"
    with pytest.raises(ProjectError, match="is not empty"):
        checkout(found, tmp_path / "mine")


def test_many_at_once_share_one_fetch_and_one_download(
    settings: Settings, repository: Repository, web: Web, home: Path
) -> None:
    (web.folder / "data.csv").write_text("a,b\n" * 1000)
    command = [sys.executable, "-c", TEN_AT_ONCE, str(repository.bare), f"{web.url}/data.csv"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [(process.communicate(timeout=120), process.returncode) for process in running]
    assert [code for _, code in ended] == [0, 0, 0], ended
    places = {out.strip() for (out, _), _ in ended}
    assert len(places) == 1
    assert Path(places.pop()).read_text() == "a,b\n" * 1000
    assert web.gets("data.csv") == 1
    assert not list((home / "projects" / ".runs").iterdir())
    assert not list(home.rglob(".arriving-*"))


@pytest.mark.parametrize(
    ("address", "version", "said"),
    [
        ("", None, "is empty"),
        ("{tmp}/nowhere", None, "There is no project folder '{tmp}/nowhere'"),
        ("{tmp}/nowhere.git", "main", "There is no project folder"),
        ("file://{tmp}/nowhere.git", None, "There is no project folder"),
        ("git+file://{tmp}/nowhere.git", None, "There is no repository at '{tmp}/nowhere.git'"),
        ("git+file://{tmp}", None, "There is no repository at {tmp}; check"),
        ("{bare}#a.c", None, "The sub-folder 'a.c' of {bare} at [0-9a-f]+ is not there; the folders in it are a.b"),
        ("{work}#a.b/x/y", None, "The sub-folder 'a.b/x/y' of {work} is not there; the folders in 'a.b' are deep"),
        ("{work}#top.py", None, "is a file"),
        ("{work}#link", None, "links out of it"),
        ("{work}#../x", None, "'../x' in .* is no sub-folder"),
        ("{work}#/etc", None, "'/etc' in .* is no sub-folder"),
        ("{work}#.git/hooks", None, "is no sub-folder"),
        ("{bare}", "mian", "{bare} has no branch, tag or commit 'mian'; close to it: branch 'main'"),
        ("{bare}", "team-next", "close to it: branch 'team/next'"),
        ("{bare}", "v3", "close to it: tag 'v[12]', tag 'v[12]'"),
        ("{bare}", "xyz", "it has tag 'v2', branch 'main', branch 'team/next'"),
        ("{bare}", "abcdef1", "no branch, tag or commit 'abcdef1'"),
        ("{bare}", "--upload-pack=touch {tmp}/bad", "is no version"),
        ("{bare}", "", "'' is no version"),
        ("{bare}", "v1..v2", "is no version"),
        ("{tmp}", "main", "is in no Git repository"),
        ("{empty}", None, "has no commit on its default branch; push a commit"),
        ("ext::sh -c 'touch {tmp}/bad'", None, "would start a program"),
        ("git+ext::sh -c x", None, "would start a program"),
        ("ssh://-oProxyCommand=x/y.git", None, "names no host"),
        ("git@-oProxyCommand:y", None, "is no address"),
        ("git+s3://bucket/x", None, "not 's3'"),
        ("http://127.0.0.1:1/me:tok/x.git", None, "cannot be reached"),
        ("http://me:hidden@127.0.0.1:1/x.git", None, "^http://127.0.0.1:1/x.git cannot be reached"),
        ("ssh://me@127.0.0.1:1/x.git", None, "^ssh://me@127.0.0.1:1/x.git cannot be reached .connect to host"),
        ("https://[::1/x.git", None, "is no address that can be read"),
        ("nothing-knows://host/x", None, "nothing-knows"),
        ("{work}/top.py", None, "is a file; give the folder"),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(
    settings: Settings, repository: Repository, tmp_path: Path, address: str, version: str | None, said: str
) -> None:
    git(tmp_path, "init", "--bare", "empty.git")
    (repository.work / "link").symlink_to(tmp_path)
    names = {"tmp": tmp_path, "bare": repository.bare, "work": repository.work, "empty": tmp_path / "empty.git"}
    with pytest.raises(ProjectError, match=said.format(**names)) as caught:
        fetch(address.format(**names), version=version and version.format(**names), settings=settings)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert not (tmp_path / "bad").exists()


def test_nothing_that_a_repository_or_the_user_has_set_runs(
    settings: Settings, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    for folder in (template, repository.bare / "hooks"):
        for name in ("post-checkout", "post-merge", "reference-transaction"):
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
            (folder / name).chmod(0o755)
    (tmp_path / "config").write_text(f"[init]\n\ttemplateDir = {template.parent}\n[core]\n\thooksPath = {template}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as in a hook of the user's
    fetch(repository.bare, settings=settings)
    monkeypatch.delenv("GIT_DIR")
    work = repository.work
    (work / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = x\n\turl = "ext::sh -c touch% {tmp_path}/hooked"\n')
    git(work, "-c", "core.hooksPath=/dev/null", "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")
    git(work, "-c", "core.hooksPath=/dev/null", "add", ".gitmodules")
    git(work, "-c", "core.hooksPath=/dev/null", "commit", "-m", "bad")
    with pytest.raises(ProjectError, match="A submodule of"):
        fetch(f"git+file://{work}", settings=settings)
    assert not (tmp_path / "hooked").exists()


def test_a_zip_is_unpacked_and_its_only_folder_entered(settings: Settings, web: Web, s3: Any, tmp_path: Path) -> None:
    archive = make_zip(web.folder / "project.zip", project_1__train="x", project_1__sub__deep="y")
    with zipfile.ZipFile(archive, "a") as opened:
        info = zipfile.ZipInfo("project_1/run.sh")
        info.external_attr = 0o100755 << 16
        opened.writestr(info, "#!/bin/sh\n")
    options = {"storage_options": json.dumps(s3.options), "artifact_root": "s3://bucket/zips"}
    on_s3 = load_settings(**options)
    fsspec.filesystem("s3", **s3.options).put_file(str(archive), "bucket/zips/project.zip")
    for address, mine in (
        (str(archive), settings),
        (f"{web.url}/project.zip", settings),
        ("s3://bucket/zips/project.zip", on_s3),
    ):
        found = fetch(address, settings=mine)
        assert (found.folder.name, found.uri, found.commit) == ("project_1", address, None)
        assert found.digest == hashlib.sha256(archive.read_bytes()).hexdigest()
        assert (found.folder / "run.sh").stat().st_mode & stat.S_IXUSR
        assert (fetch(f"{address}#sub", settings=mine).folder / "deep").read_text() == "y"
    assert web.gets("project.zip") == 1
    flat = fetch(make_zip(tmp_path / "flat.zip", train="x", sub__deep="y"), settings=settings)
    assert sorted(path.name for path in flat.folder.iterdir()) == ["sub", "train"]
    assert flat.folder.name == "flat"
    with pytest.raises(ProjectError, match="has no versions"):
        fetch(str(archive), version="v1", settings=settings)
    with pytest.raises(ProjectError, match=r"There is nothing at .*/other\.zip \(status 404\)"):
        fetch(f"{web.url}/other.zip", settings=settings)


def _with_link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc")


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (lambda archive: archive.writestr("../out", "x"), r"'\.\./out', which leads out"),
        (lambda archive: archive.writestr("/tmp/out", "x"), "'/tmp/out', which leads out"),
        (lambda archive: archive.writestr("a\\..\\out", "x"), "which leads out"),
        (_with_link, "'link', which is neither a file nor a folder"),
        (lambda archive: archive.writestr("zeros", bytes(300 * 2**20)), "would unpack to 1 files"),
        (lambda archive: archive.mkdir("empty"), "holds no files"),
        (lambda archive: [archive.writestr(name, "x") for name in ("a", "a/b")], "a file and a folder of the same"),
        (lambda archive: archive.fp.write(b"no zip at all"), None),
    ],
)
def test_a_zip_that_would_do_harm_is_refused_and_leaves_nothing(
    settings: Settings, tmp_path: Path, fill: Callable[[zipfile.ZipFile], Any], said: str | None
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    if said is None:
        (tmp_path / "a.zip").write_bytes(b"no zip at all")
        said = "cannot be unpacked"
    with pytest.raises(ProjectError, match=said):
        fetch(tmp_path / "a.zip", settings=settings)
    assert [path for path in settings.home.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    assert not (tmp_path / "out").exists()


def test_a_folder_on_s3_is_a_project_and_an_input(s3: Any, home: Path) -> None:
    settings = load_settings(storage_options=json.dumps(s3.options), artifact_root="s3://bucket/projects")
    files = fsspec.filesystem("s3", **s3.options)
    for name, text in {"train.py": "1", "sub/part.py": "2"}.items():
        files.pipe_file(f"bucket/projects/digits/{name}", text.encode())
    found = fetch("s3://bucket/projects/digits#sub", settings=settings)
    assert (found.folder / "part.py").read_text() == "2"
    assert (found.uri, found.root.name) == ("s3://bucket/projects/digits#sub", "digits")
    assert found.digest == digest_of(found.root)
    with workspace(found, settings=settings) as copy:
        (copy.folder / "part.py").write_text("a copy can be written to")
        (copy.folder / "new.txt").write_text("so can its folders")
    place = download("s3://bucket/projects/digits/train.py", settings=settings)
    assert (place.name, place.read_text()) == ("train.py", "1")
    said: list[str] = []
    assert download("s3://bucket/projects/digits/train.py", settings=settings, report=said.append) == place
    assert said == []
    files.pipe_file("bucket/projects/digits/train.py", b"3")
    assert download("s3://bucket/projects/digits/train.py", settings=settings).read_text() == "3"
    assert fetch("s3://bucket/projects/digits", settings=settings).digest != found.digest
    assert place.read_text() == "1", "who works with the old one keeps it"
    with pytest.raises(ProjectError, match="There is nothing at s3://bucket/projects/none"):
        download("s3://bucket/projects/none", settings=settings)
    with pytest.raises(ProjectError, match="is a file"):
        fetch("s3://bucket/projects/digits/train.py", settings=settings)
    wrong = json.dumps({**s3.options, "secret": "not-the-one"})
    with pytest.raises(ProjectError, match="check its credentials") as caught:
        fetch("s3://bucket/projects/digits", settings=load_settings(storage_options=wrong, artifact_root="s3://bucket"))
    assert "not-the-one" not in str(caught.value)


def test_an_artifact_that_was_changed_is_no_input(settings: Settings, store: Any, home: Path) -> None:
    with prefect_ml.start_run() as run:
        prefect_ml.log_text("one", "out/a.txt")
    next((home / "artifacts").rglob("a.txt")).write_text("two")
    with pytest.raises(ProjectError, match="is not the file that was logged"):
        download(f"runs:/{run.id}/out", settings=settings)
    assert not list((home / "inputs").rglob("*.txt"))


def test_a_download_is_made_again_only_when_the_other_side_has_changed(settings: Settings, web: Web) -> None:
    data = web.folder / "some data.csv"
    data.write_text("1")
    url = f"{web.url}/some%20data.csv"
    place = download(url, settings=settings)
    assert (place.name, place.parent.name) == ("some data.csv", hashlib.sha256(b"1").hexdigest())
    assert not place.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    assert download(url, settings=settings) == place
    assert web.gets("some%20data.csv") == 1
    data.write_text("22")
    os.utime(data, (time.time() + 10, time.time() + 10))
    assert download(url, settings=settings).read_text() == "22"
    assert digest_of(url, settings=settings) == hashlib.sha256(b"22").hexdigest()
    assert place.read_text() == "1"


def test_a_download_that_somebody_wrote_to_is_made_again(settings: Settings, web: Web) -> None:
    (web.folder / "data").write_text("right")
    place = download(f"{web.url}/data", settings=settings)
    place.chmod(0o644)
    place.write_text("wrong")
    assert download(f"{web.url}/data", settings=settings) == place
    assert place.read_text() == "right"


def test_an_input_that_cannot_be_had_says_why(settings: Settings, web: Web, tmp_path: Path) -> None:
    for uri, said in {
        f"{web.url}/nothing": "There is nothing at .*/nothing",
        f"{web.url}/secret?token=hidden": r"/secret needs authentication",
        "http://127.0.0.1:1/x": "http://127.0.0.1:1/x cannot be reached",
        "runs:/": "names no run",
        "runs:/nobody/x": "no run 'nobody'",
        "models:/nobody/1": "no registered model 'nobody'",
        str(tmp_path / "nothing"): "There is nothing at",
        (tmp_path / "nothing").as_uri(): "There is nothing at",
    }.items():
        with pytest.raises(ProjectError, match=said) as caught:
            download(uri, settings=settings)
        assert "hidden" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not list((settings.home / "inputs").rglob(".arriving-*"))


def test_what_runs_have_logged_is_an_input(settings: Settings, store: Any) -> None:
    with prefect_ml.start_run() as run:
        prefect_ml.log_text("one", "out/a.txt")
        prefect_ml.log_text("two", "out/deep/b.txt")
    folder = download(f"runs:/{run.id}/out", settings=settings)
    assert (folder.name, (folder / "deep" / "b.txt").read_text()) == ("out", "two")
    file = download(f"runs:/{run.id}/out/a.txt", settings=settings)
    assert (file.name, file.read_text()) == ("a.txt", "one")
    said: list[str] = []
    assert download(f"runs:/{run.id}/out", settings=settings, report=said.append) == folder
    assert said == []
    assert digest_of(f"runs:/{run.id}/out/a.txt") == hashlib.sha256(b"one").hexdigest()


def test_local_inputs_stay_where_they_are(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "in put").mkdir()
    (tmp_path / "in put" / "a").write_text("1")
    assert download(str(tmp_path / "in put"), settings=settings) == tmp_path / "in put"
    assert download((tmp_path / "in put").as_uri(), settings=settings) == tmp_path / "in put"
    first = digest_of(tmp_path / "in put")
    (tmp_path / "in put" / "a").rename(tmp_path / "in put" / "b")
    assert digest_of(tmp_path / "in put") != first, "names count"
    assert digest_of(tmp_path / "in put" / "b") == hashlib.sha256(b"1").hexdigest()


def test_what_nobody_uses_is_collected_and_what_somebody_uses_stays(
    settings: Settings, repository: Repository, web: Web, home: Path
) -> None:
    (web.folder / "data").write_text("1")
    place = download(f"{web.url}/data", settings=settings)
    found = fetch(repository.bare, settings=settings)
    with workspace(found, settings=settings) as copy:
        assert collect_checkouts(settings, older_than_days=1) == []
        left = home / "projects" / ".runs" / "killed"
        left.mkdir()
        (left.parent / "killed.lock").touch()
        unused = {left, found.root.parent.parent, place.parent}
        assert unused <= set(collect_checkouts(settings, older_than_days=0, dry_run=True))
        assert all(folder.is_dir() for folder in unused)
        assert unused <= set(collect_checkouts(settings, older_than_days=0))
        assert not any(folder.exists() for folder in unused)
        assert (copy.folder / "top.py").is_file()
        assert git(copy.folder, "status", "--porcelain") == ""
    assert fetch(repository.bare, settings=settings).folder == found.folder
    assert download(f"{web.url}/data", settings=settings) == place
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(fetch, repository.bare, settings=settings) for _ in range(20)]
        collect_checkouts(settings, older_than_days=0)
        assert {job.result().commit for job in jobs} == {found.commit}
