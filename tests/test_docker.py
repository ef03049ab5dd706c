"""Environments in containers: images, Dockerfiles and declared Pythons, and what a container gets of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from prefect_ml import get_run, run_project, search_runs
from prefect_ml.environments import DeclaredImage, DockerEnvironment, declared_image_of_lock, declared_of, realise
from prefect_ml.environments.collect import collect_environments, list_environments
from prefect_ml.environments.docker import remove_leftovers
from prefect_ml.environments.docker.client import connect
from prefect_ml.environments.docker.context import context_digest
from prefect_ml.environments.kept import Kept
from prefect_ml.errors import EnvironmentFailed, ProjectRunFailed

TELL = """
import json, os, sys
print(json.dumps({"user": [os.getuid(), os.getgid()], "home": os.environ["HOME"], "folder": os.getcwd(),
                  "variables": dict(os.environ), "writable": os.access(os.environ["HOME"], os.W_OK)}))
"""
PARENT = """
import os, psutil, sys
from pathlib import Path
from prefect_ml.environments import declared_of, realise
folder, root, image = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
command = realise(declared_of(folder, image=image), root=root).start("echo up; sleep 300", folder=folder, environ={})
print(next(command.lines()), command.container_id, flush=True)
for watcher in psutil.Process().children():
    watcher.kill()
os.kill(os.getpid(), 9)
"""
AS_SOMEBODY = """
import os, sys
from pathlib import Path
from prefect_ml.environments import declared_of, realise
folder, root, image = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
environment = realise(declared_of(folder, image=image), root=root)
environment.start("true", folder=folder, environ={}).wait()  # everything is imported that the user may not read
os.setresgid(23456, 0, 0), os.setresuid(12345, 0, 0)  # who asks is somebody else; what may be read is not
command = environment.start("python3 tell.py && touch made", folder=folder, environ={})
print(*command.lines(), sep="\\n")
sys.exit(command.wait())
"""


def project(folder: Path, **files: str) -> Path:
    """Write a project; `tell_py="..."` becomes `tell.py`."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def ready(folder: Path, image: str = "", **docker_env: object) -> DockerEnvironment:
    declared = declared_of(folder, kind="docker", image=image, **docker_env)  # pyright: ignore
    assert isinstance(declared, DeclaredImage)
    return realise(declared, root=folder.parent / "environments")


def done(environment: DockerEnvironment, command: str, folder: Path, **environ: str) -> tuple[list[str], int]:
    started = environment.start(command, folder=folder, environ=environ)
    return list(started.lines()), started.wait()


def containers_of(client: Any, pid: int) -> list[Any]:
    found = client.containers.list(all=True, filters={"label": "prefect-ml.owner"}, ignore_removed=True)
    return [container for container in found if f'"pid": {pid},' in container.labels["prefect-ml.owner"]]


@pytest.fixture
def no_leftovers() -> Iterator[Callable[[], list[str]]]:
    """Give the names of this process's containers, and hold that none is left."""
    client = connect()

    def names() -> list[str]:
        return [found.name for found in containers_of(client, os.getpid())]

    try:
        yield names
        assert names() == []
    finally:
        client.close()


@pytest.fixture
def built() -> Iterator[Callable[[str], None]]:
    """Name images that are removed in the end."""
    images: list[str] = []
    yield images.append
    client = connect()
    for image in images:
        client.images.remove(image, force=True)
    client.close()


def test_a_project_runs_in_the_image_that_it_names(
    base_image: str, home: Path, tmp_path: Path, no_leftovers: Callable[[], list[str]]
) -> None:
    described = f"""
name: contained
docker_env:
  image: {base_image}
  volumes: ["./data:/given:ro"]
  environment: [[GREETING, "good morning"], WHOSE, NOBODYS]
entry_points:
  main:
    parameters: {{text: string, code: {{type: int, default: 0}}}}
    command: "cat /given/file; echo $GREETING $WHOSE $NOBODYS {{text}} >&2; touch made; exit {{code}}"
"""
    folder = project(tmp_path / "p", MLproject=described)
    (folder / "data").mkdir()
    (folder / "data" / "file").write_text("42\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHOSE", "mine")
        lines: list[str] = []
        ran = run_project(folder, params={"text": "it's $HOME"}, report=lines.append)
    assert lines[-2:] == ["42", "good morning mine it's $HOME"]
    assert (folder / "made").stat().st_uid == os.getuid()
    run = get_run(ran.run_id)
    assert run.status == "Completed"
    assert run.source.environment == f"docker:{ran.environment}"
    with pytest.raises(ProjectRunFailed, match="exit code 7"):
        run_project(folder, params={"text": "x", "code": 7})
    (folder / "data" / "file").unlink()
    (folder / "data").rmdir()
    with pytest.raises(EnvironmentFailed, match=r"'\./data:/given:ro', and there is no .*make it first"):
        run_project(folder, params={"text": "x"})
    assert sorted(found.status for found in search_runs("")) == ["Completed", "Failed", "Failed"]


def test_a_container_gets_the_run_the_home_and_the_credentials_and_nothing_else_of_the_caller(
    base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_leftovers: Callable[[], list[str]]
) -> None:
    folder = project(tmp_path / "p", tell_py=TELL)
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "s")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    environment = ready(folder, base_image)
    given = {
        **os.environ,
        "PREFECT_ML_HOME": str(tmp_path / "home"),
        "PREFECT_ML_STORE_URL": f"sqlite:///{tmp_path / 'elsewhere' / 'store.db'}",
        "PREFECT_ML_ARTIFACT_ROOT": "s3://bucket/artifacts",
        "PREFECT_ML_RUN_ID": "some-run",
    }
    lines, code = done(environment, "python3 tell.py", folder, **given)
    told = json.loads(lines[0])
    assert code == 0
    assert told["user"] == [os.getuid(), os.getgid()]
    assert told["writable"]
    assert told["folder"] == str(folder)
    variables = told["variables"]
    assert variables["PREFECT_ML_RUN_ID"] == "some-run"
    assert variables["AWS_SECRET_ACCESS_KEY"] == "key"
    assert "SECRET_OF_THE_CALLER" not in variables
    assert variables["PATH"] != os.environ["PATH"]
    lines, _ = done(environment, "touch $PREFECT_ML_HOME/a; ls $PREFECT_ML_HOME; ls ../elsewhere", folder, **given)
    assert lines == ["a"]
    local = {**given, "PREFECT_ML_ARTIFACT_ROOT": str(tmp_path / "artifacts")}
    lines, _ = done(environment, "echo ${AWS_SECRET_ACCESS_KEY-none}; touch ../artifacts/a", folder, **local)
    assert lines == ["none"]
    assert (tmp_path / "artifacts" / "a").stat().st_uid == os.getuid()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_files_belong_to_the_caller(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = project(Path(place, "p"), tell_py=TELL)
        for path in (Path(place), folder):
            os.chown(path, 12345, 23456)
        command = [sys.executable, "-c", AS_SOMEBODY, str(folder), str(tmp_path_factory.mktemp("e")), base_image]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        state = (folder / "made").stat()
    assert told["user"] == [12345, 23456] == [state.st_uid, state.st_gid]
    assert told["writable"]


def test_inputs_can_be_read_and_not_written(base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project(tmp_path / "p")
    inputs = project(tmp_path / "inputs", x_csv="1\n")
    monkeypatch.setattr("tempfile.tempdir", str(project(tmp_path / "temporary")))
    command = ready(folder, base_image).start(
        f"cat {inputs}/x.csv; touch {inputs}/y || echo refused", folder=folder, environ={}, reachable=[inputs]
    )
    lines = list(command.lines())
    assert (lines[0], lines[-1]) == ("1", "refused")
    assert command.wait() == 0


def test_output_comes_line_by_line_and_stopping_ends_every_process(
    base_image: str, tmp_path: Path, no_leftovers: Callable[[], list[str]]
) -> None:
    folder = project(tmp_path / "p")
    environment = ready(folder, base_image)
    asked = "trap 'echo asked; exit 3' TERM; echo first; sleep 300 & wait; echo never"
    command = environment.start(asked, folder=folder, environ={})
    lines = command.lines()
    assert next(lines) == "first"
    assert len(no_leftovers()) == 1
    stopping = threading.Thread(target=command.stop, kwargs={"grace": 30})
    stopping.start()
    assert list(lines) == ["asked"]
    stopping.join()
    assert command.wait() == 3
    deaf = "trap '' TERM; echo deaf; while true; do sleep 1; done"
    command = environment.start(deaf, folder=folder, environ={})
    assert next(command.lines()) == "deaf"
    command.stop(grace=0.2)
    assert command.wait() == -9


def test_a_run_that_takes_too_long_is_stopped(
    base_image: str, home: Path, tmp_path: Path, no_leftovers: Callable[[], list[str]]
) -> None:
    described = f"docker_env: {{image: {base_image}}}\nentry_points: {{main: {{command: 'sleep 300; true'}}}}\n"
    with pytest.raises(ProjectRunFailed, match="longer than"):
        run_project(project(tmp_path / "p", MLproject=described), timeout=1)


def test_a_killed_run_takes_its_container_with_it(base_image: str, home: Path, tmp_path: Path) -> None:
    described = (
        f"docker_env: {{image: {base_image}}}\nentry_points: {{main: {{command: 'echo up; sleep 300; true'}}}}\n"
    )
    folder = project(tmp_path / "p", MLproject=described)
    client = connect()
    command = [sys.executable, "-m", "prefect_ml.cli", "run", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout is not None
        assert "up\n" in run.stdout
        (container,) = containers_of(client, run.pid)
        forked = psutil.Process(container.attrs["State"]["Pid"])
        run.kill()
    for _ in range(200):
        if not containers_of(client, run.pid) and not forked.is_running():
            break
        time.sleep(0.1)
    assert containers_of(client, run.pid) == []
    assert not forked.is_running()
    client.close()


def test_containers_that_nobody_watches_are_removed_by_the_next(base_image: str, tmp_path: Path) -> None:
    folder = project(tmp_path / "p")
    command = [sys.executable, "-c", PARENT, str(folder), str(tmp_path / "environments"), base_image]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    said, container_id = killed.stdout.split()
    assert said == "up"
    client = connect()
    name = client.containers.get(container_id).name
    assert name in remove_leftovers(client)
    assert container_id not in [found.id for found in client.containers.list(all=True, ignore_removed=True)]
    client.close()


def test_a_dockerfile_is_built_once_until_its_files_change(
    base_image: str, tmp_path: Path, built: Callable[[str], None]
) -> None:
    files = {"Dockerfile": f"FROM {base_image}\nCOPY answer.txt /answer\nENV WHERE=inside\n", "answer_txt": "42\n"}
    folder = project(tmp_path / "p", **files)
    (folder / ".dockerignore").write_text("*.log\n")
    lines: list[str] = []
    declared = declared_of(folder)
    assert isinstance(declared, DeclaredImage), "no other file declares an environment"
    first = realise(declared, root=tmp_path / "environments", report=lines.append)
    built(first.image)
    assert lines[0].startswith("Building image prefect-ml/project:")
    assert done(first, "cat /answer; echo $WHERE", folder) == (["42", "inside"], 0)
    lines.clear()
    digest = context_digest(folder)
    project(folder, run_log="changes")
    (folder / "__pycache__").mkdir()
    project(folder / "__pycache__", x_pyc="changes")
    assert context_digest(folder) == digest
    assert realise(declared_of(folder), root=tmp_path / "environments", report=lines.append).digest == first.digest
    assert lines == []
    project(folder, answer_txt="43\n")
    assert context_digest(folder) != digest
    project(folder, Dockerfile=f"FROM {base_image}\nCOPY missing.txt /\n")
    with pytest.raises(EnvironmentFailed, match=r"Dockerfile cannot be built: .*missing\.txt"):
        ready(folder)


def test_images_that_no_run_has_used_in_a_while_are_removed(
    base_image: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"Dockerfile": f"FROM {base_image}\nCOPY answer.txt /answer\n", "answer_txt": "of a collected image\n"}
    folder, root = project(tmp_path / "p", **files), tmp_path / "environments"
    environment = ready(folder)
    (kept,) = list_environments(root)
    assert (kept.digest, kept.kind, kept.in_use) == (environment.digest, "image", False)
    assert kept.origin == f"prefect-ml/project:{declared_of(folder).digest}"
    assert 0 < kept.size < 10_000, "the image below is not its own"
    assert collect_environments(root) == []
    month_old(kept)
    ready(folder)
    assert collect_environments(root, dry_run=True) == [], "a run has asked for it"
    month_old(kept)
    sleeping = environment.start("sleep 300; true", folder=folder, environ={})
    try:
        assert collect_environments(root) == []
    finally:
        sleeping.stop(grace=0)
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///nowhere")
        assert collect_environments(root) == []
    assert [found.digest for found in collect_environments(root)] == [kept.digest]
    assert list_environments(root) == []
    assert not list((root / "docker").glob(f"{kept.path.stem}*"))
    assert done(ready(folder), "cat /answer", folder)[0] == ["of a collected image"], "it is built again when needed"
    assert collect_environments(root, older_than_days=0) != []


def month_old(kept: Kept) -> None:
    then = time.time() - 40 * 86400
    os.utime(kept.path, (then, then))


def test_a_declared_python_becomes_an_image(
    base_image: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: Callable[[str], None]
) -> None:
    monkeypatch.setenv("PREFECT_ML_DOCKER_BASE", base_image)
    folder = project(tmp_path / "p", requirements_txt="tabulate==0.9.0\n", x_py="import tabulate; print(tabulate)")
    environment = ready(folder)
    built(environment.image)
    lines, code = done(environment, "python x.py && printf 'a b' | tabulate -f plain && which python", folder)
    assert code == 0, lines
    assert "/opt/prefect-ml/lib/" in lines[0]
    assert lines[1:] == ["a  b", "/opt/prefect-ml/bin/python"]
    facts = environment.facts()
    assert facts.packages["tabulate"] == "0.9.0"
    assert "tabulate==0.9.0" in facts.lock
    again = realise(declared_image_of_lock(facts.lock, folder=folder, origin="a lock"), root=tmp_path / "environments")
    assert again.image == environment.image
    (folder / ".python-version").write_text("3.13\n")
    with pytest.raises(EnvironmentFailed, match=r"declares Python 3\.13, and the base image .* has 3\.11"):
        ready(folder)


def test_what_docker_cannot_give_is_said_in_one_sentence(
    base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "p")
    with pytest.raises(EnvironmentFailed, match=r"'127\.0\.0\.1:9/no/such:image', which is not on this machine"):
        ready(folder, "127.0.0.1:9/no/such:image")
    monkeypatch.setenv("PREFECT_ML_DOCKER_BASE", "127.0.0.1:9/no/such:base")
    (folder / "requirements.txt").write_text("tabulate==0.9.0\n")
    with pytest.raises(EnvironmentFailed, match=r"such:base', which is not .*; set PREFECT_ML_DOCKER_BASE to an image"):
        ready(folder)
    with pytest.raises(EnvironmentFailed, match="is no lock of an image"):
        declared_image_of_lock("# prefect-ml environment: uv\n", folder=folder, origin="a lock")


def test_a_missing_daemon_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address, reason in (("unix:///nowhere", "No such file"), ("tcp://127.0.0.1:9", "Connection refused")):
        monkeypatch.setenv("DOCKER_HOST", address)
        with pytest.raises(EnvironmentFailed, match=rf"{address} \({reason}.*is Docker running.*--environment uv"):
            ready(project(tmp_path / "p"), "any")
