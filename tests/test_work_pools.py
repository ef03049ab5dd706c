"""Projects as Prefect's flow runs, deployed to a process work pool, and to a Docker one: group `matrix`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from prefect_ml import get_run, rerun
from prefect_ml.errors import EnvironmentFailed
from prefect_ml.flows.projects.sources import checkout, fetch
from prefect_ml.flows.projects.work_pools import build_image
from prefect_ml.flows.services import prefect_environment
from prefect_ml.settings import Settings, load_settings
from prefect_ml.store import Store, open_store

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

SOURCES = ("folder", "git+file", "git+http", "git+ssh", "zip", "s3")
KINDS = ("uv", "conda", "docker", "system")
GIVEN = {"alpha": "0.10", "word": "it's $HOME"}
PYPROJECT = """
[project]
name = "contained"
version = "1"
requires-python = ">=3.11"
dependencies = ["prefect-ml", "psycopg[binary]", "tabulate==0.9.0"]
"""
FLOW = """
import sys
import tabulate
from prefect_ml import log_metric, log_param
from prefect_ml.tasks import tracked_flow

@tracked_flow(declared_environment=True)
def contained(n: int = 1):
    "Says where it runs."
    log_param("prefix", sys.prefix)
    log_metric("n", n)
"""


@pytest.fixture(scope="module")
def settings(laptop: Any) -> Settings:
    return load_settings(environ=laptop.environ, block=dict)


@pytest.fixture(scope="module")
def shared(settings: Settings) -> Iterator[Store]:
    """The store of the laptop."""
    store = open_store(settings)
    yield store
    store.engine.dispose()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", SOURCES)
def test_matrix_of_flow_runs(
    source: str,
    kind: str,
    matrix: Callable[[str], Any],
    laptop: Any,
    settings: Settings,
    shared: Store,
    check_matrix_run: Callable[..., Any],
    request: pytest.FixtureRequest,
) -> None:
    if kind == "docker":
        request.getfixturevalue("base_image")
    place = matrix(source)
    words = ["run", f"{place.address}#{kind}", "--json", *(f"-P{name}={value}" for name, value in GIVEN.items())]
    words += ["-v", place.version] if place.version else []
    words += ["--environment", "system"] if kind == "system" else []
    done = laptop.run(*words, **place.environ)
    assert done.returncode == 0, done.stderr
    ran = json.loads(done.stdout)
    run, _ = check_matrix_run(ran["run_id"], kind, settings.environments, store=shared)
    assert run.id == run.flow_run_id == ran["flow_run_id"]
    assert (run.source.commit, run.source.version, run.source.subfolder) == (place.commit, place.version, kind)
    assert run.source.prefect["flow"] == f"matrix-{kind}-main"


def deploy(folder: Path, settings: Settings) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    environ = prefect_environment(settings)
    ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def prefect(api: str, method: str, path: str, **content: Any) -> Any:
    """Ask Prefect, which answers 503 while its database is busy with somebody else."""
    for _ in range(40):
        reply = httpx.request(method, f"{api}/{path}", timeout=30, **content)
        if reply.status_code != 503:
            return reply.raise_for_status().json()
        time.sleep(0.5)
    pytest.fail("Prefect's database stays busy")


def started(api: str, deployment: str) -> str:
    """Have a deployment run and give the flow run's id."""
    found = prefect(api, "GET", f"deployments/name/{deployment}")
    parameters = {"parameters": {**GIVEN, "alpha": 0.1}}  # as a form would send it
    return prefect(api, "POST", f"deployments/{found['id']}/create_flow_run", json=parameters)["id"]


def ended(api: str, flow_run: str) -> None:
    """Wait until a flow run has completed."""
    for _ in range(1200):
        state = prefect(api, "GET", f"flow_runs/{flow_run}")["state"]
        if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            logs = prefect(api, "POST", "logs/filter", json={"logs": {"flow_run_id": {"any_": [flow_run]}}})
            assert state["type"] == "COMPLETED", "\n".join(log["message"] for log in logs)
            return
        time.sleep(0.5)
    pytest.fail(f"flow run {flow_run} takes too long")


def deployed_folder(folder: Path, kind: str, laptop: Any) -> str:
    """Have a folder of the worker's machine described by `prefect-ml init`, and give its deployment's name."""
    if kind == "system":  # nothing is declared, so `init` knows no environment to deploy it in
        prefect_yaml(folder, name="main", entrypoint="flows.py:main", pull=[go_to(str(folder))])
    else:
        done = laptop.run("init", str(folder))
        assert done.returncode == 0, done.stderr
    return f"matrix-{kind}-main/main"


def deployed_clone(folder: Path, kind: str, place: Any) -> str:
    """Describe a repository that Prefect's own pull step clones."""
    clone = {"id": "clone", "repository": place.address, "branch": place.version}
    pull = [{"prefect.deployments.steps.git_clone": clone}, go_to(f"{{{{ clone.directory }}}}/{kind}")]
    entrypoint = "flows.py:main" if kind == "system" else "prefect_ml.flows.projects.deployed.main"
    prefect_yaml(folder, name="clone", entrypoint=entrypoint, pull=pull)
    return f"matrix-{kind}-main/clone"


def deployed_address(folder: Path, kind: str, place: Any) -> str:
    """Describe a project that each run fetches itself."""
    more = f"version={place.version!r}, environment={'system' if kind == 'system' else None!r}"
    (folder / "deploy.py").write_text(
        f"from prefect_ml import project_flow\n\nmain = project_flow('{place.address}#{kind}', {more})\n"
    )
    variables = {"env": dict(place.environ)}
    prefect_yaml(folder, name="address", entrypoint="deploy.py:main", pull=[go_to(str(folder))], variables=variables)
    return f"matrix-{kind}-main/address"


def go_to(folder: str) -> dict[str, Any]:
    return {"prefect.deployments.steps.set_working_directory": {"directory": folder}}


def prefect_yaml(folder: Path, *, variables: dict[str, Any] | None = None, **deployment: Any) -> None:
    deployment["work_pool"] = {"name": "ml", "job_variables": variables or {}}
    (folder / "prefect.yaml").write_text(json.dumps({"deployments": [deployment]}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", [*SOURCES, "git_clone"])
def test_matrix_of_process_work_pools(
    source: str,
    kind: str,
    matrix: Callable[[str], Any],
    laptop: Any,
    settings: Settings,
    shared: Store,
    check_matrix_run: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if kind == "docker":
        request.getfixturevalue("base_image")
    place = matrix("git+http" if source == "git_clone" else source)
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    folder = Path(shutil.copytree(Path(matrix("folder").address, kind), tmp_path / kind))
    if source == "folder":
        name = deployed_folder(folder, kind, laptop)
    else:
        name = (deployed_clone if source == "git_clone" else deployed_address)(folder, kind, place)
    deploy(folder, settings)
    flow_run = started(laptop.api_url, name)
    ended(laptop.api_url, flow_run)
    run, _ = check_matrix_run(flow_run, kind, settings.environments, store=shared, alpha="0.1")
    assert run.source.prefect["deployment"] == name.partition("/")[2]
    if source == "git_clone":
        assert (run.source.commit, run.source.remote) == (place.commit, place.address)
    elif source != "folder":
        assert (run.source.commit, run.source.version, run.source.subfolder) == (place.commit, place.version, kind)


def test_matrix_reruns_what_git_clone_has_pulled(
    matrix: Callable[[str], Any],
    laptop: Any,
    settings: Settings,
    shared: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The folder that Prefect clones to goes with the flow run."""
    place = matrix("git+http")
    folder = Path(shutil.copytree(Path(matrix("folder").address, "system"), tmp_path / "system"))
    name = deployed_clone(folder, "system", place)
    deploy(folder, settings)
    flow_run = started(laptop.api_url, name)
    ended(laptop.api_url, flow_run)
    source = get_run(flow_run, store=shared).source
    for _ in range(600):  # it outlives the state by a moment
        if not Path(source.project or "").exists():
            break
        time.sleep(0.1)
    assert not Path(source.project or "").exists()
    assert (source.subfolder, source.remote) == ("system", place.address)
    for key, value in {**laptop.environ, **place.environ}.items():
        monkeypatch.setenv(key, value)
    verdict = rerun(flow_run, report=lambda _: None)
    assert (verdict.outcome, verdict.missing) == ("reproduced", ())
    second = get_run(str(verdict.again), store=shared).source
    assert (second.project, second.commit) == (f"{place.address}#system", place.commit)


PART = """
from prefect_ml import log_metric
from prefect_ml.tasks import tracked_flow

@tracked_flow(declared_environment={declared})
def part(n: int, more: list[int], token: str = "", passwords: dict[str, str] = {{}}):
    log_metric("sum", {factor} * (n + sum(more)))
"""
OWN = """
[project]
name = "own"
version = "1"
requires-python = ">=3.11"
dependencies = ["prefect", "prefect-ml"]
"""
STEPS = "prefect_ml.environments.steps"


def own_flow(folder: Path, kind: str) -> None:
    """Describe a project whose flow lies in a sub-folder, and deploy it in its environment or in the worker's."""
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "part.py").write_text(PART.format(declared=kind == "uv", factor=1))
    if kind == "uv":
        (folder / "pyproject.toml").write_text(OWN)
        variables = {"env": "{{ environment.job_env }}"}
        build = [{f"{STEPS}.declare_environment": {"id": "environment"}}]
        pull = [{f"{STEPS}.enter_project": {"directory": "{{ environment.directory }}"}}]
    else:
        variables, build, pull = {}, [], [go_to(str(folder))]
    (folder / ".gitignore").write_text("__pycache__/\n")
    own = {"name": kind, "entrypoint": "jobs/part.py:part", "build": build, "pull": pull}
    prefect_yaml(folder, variables=variables, parameters={"more": [2]}, **own)


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("kind", ["uv", "system"])
def test_matrix_reruns_a_deployed_flow_of_the_project(
    kind: str, laptop: Any, settings: Settings, shared: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, bare = tmp_path / "repository", tmp_path / "repository.git"
    folder = repository / "own"
    own_flow(folder, kind)
    git(repository, "init", "-qb", "main")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "one")
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    git(repository, "remote", "add", "origin", str(bare))
    (folder / "jobs" / "part.py").write_text(PART.format(declared=kind == "uv", factor=10))
    deploy(folder, settings)
    found = prefect(laptop.api_url, "GET", f"deployments/name/part/{kind}")

    def start(**parameters: Any) -> str:
        asked = {"parameters": parameters}
        flow_run = prefect(laptop.api_url, "POST", f"deployments/{found['id']}/create_flow_run", json=asked)["id"]
        ended(laptop.api_url, flow_run)
        return flow_run

    flow_run, secret = start(n=3, token="logged"), start(n=3, passwords={"of": "s3cr3t"})
    first = get_run(flow_run, store=shared)
    assert (first.metrics, first.status) == ({"sum": 50.0}, "Completed")
    assert (first.source.project, first.source.subfolder, first.source.remote) == (str(folder), "own", str(bare))
    assert first.source.environment.partition(":")[0] == kind
    (folder / "jobs" / "part.py").write_text("raise SystemExit\n")
    git(repository, "commit", "-qam", "two")
    for key, value in {**laptop.environ, "PREFECT_API_URL": laptop.api_url}.items():
        monkeypatch.setenv(key, value)

    verdict = rerun(flow_run, report=lambda _: None)
    assert (verdict.outcome, verdict.missing, verdict.changed) == ("reproduced", (), ())
    again = get_run(str(verdict.again), store=shared)
    assert (again.metrics, again.tags["rerun_of"]) == ({"sum": 50.0}, flow_run)
    verdict = rerun(secret, report=lambda _: None)
    assert verdict.missing == ("The value of its parameter 'passwords' may be a secret, and was not kept.",)
    kept = [path.read_bytes() for path in Path(get_run(secret, store=shared).artifact_uri).rglob("*.json")]
    assert kept
    assert not any(b"s3cr3t" in content for content in kept)

    shutil.rmtree(repository)
    assert rerun(flow_run, report=lambda _: None).outcome == "reproduced", "from the remote"
    assert rerun(again.id, report=lambda _: None).outcome == "reproduced", "a rerun, once more"


@pytest.fixture(scope="module")
def elsewhere(postgresql: Callable[[], str], s3: Any) -> dict[str, str]:
    """What a container is told of a store that is a server, as it would be for one on another machine."""
    return {"PREFECT_ML_STORE_URL": postgresql(), "PREFECT_ML_ARTIFACT_ROOT": "s3://bucket/pools", **s3.environ}


@pytest.fixture(scope="module")
def docker_pool(base_image: str, laptop: Any, settings: Settings, tmp_path_factory: Any) -> Iterator[str]:
    """A Docker work pool with a worker of Prefect's own."""
    name, log = "matrix-containers", tmp_path_factory.mktemp("worker") / "log"
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", name, "--type", "docker"]
    environ = {**prefect_environment(settings), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    with log.open("wb") as output:
        worker = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
    try:
        for _ in range(240):
            if "started!" in log.read_text():
                break
            time.sleep(0.5)
        yield name
    finally:
        worker.terminate()
        worker.wait(60)


def containers_yaml(folder: Path, pool: str, variables: dict[str, str], entrypoint: str, **image: Any) -> None:
    """What docs/projects.md shows, for a machine on which store and daemon are the same."""
    # A PostgreSQL on a socket of this machine; one on another machine needs no volume.
    sockets = parse_qs(urlsplit(variables["PREFECT_ML_STORE_URL"]).query).get("host", [])
    build = {"id": "build_image", "name": "prefect-ml/matrix", **image}
    job = {
        "image": "{{ build_image.image }}",
        "image_pull_policy": "Never",
        "network_mode": "host",
        "auto_remove": True,
        "volumes": [f"{place}:{place}" for place in sockets],
        "env": variables,
    }
    content = {
        "build": [{"prefect_ml.flows.projects.work_pools.build_image": build}],
        "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": "{{ build_image.directory }}"}}],
        "deployments": [
            {
                "name": "container",
                "version": "{{ build_image.version }}",
                "entrypoint": entrypoint,
                "work_pool": {"name": pool, "job_variables": job},
            }
        ],
    }
    (folder / "prefect.yaml").write_text(json.dumps(content))


@pytest.mark.parametrize("kind", ["uv", "conda", "system"])
@pytest.mark.parametrize("source", SOURCES)
def test_matrix_of_docker_work_pools(
    source: str,
    kind: str,
    matrix: Callable[[str], Any],
    base_image: str,
    docker_pool: str,
    elsewhere: dict[str, str],
    laptop: Any,
    settings: Settings,
    check_matrix_run: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = matrix(source)
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    # An image is made of a folder; what lies elsewhere is fetched by whoever makes it.
    fetched = fetch(f"{place.address}#{kind}", version=place.version, settings=settings)
    folder = checkout(fetched, tmp_path / "p")
    image: dict[str, Any] = {"packages": ["psycopg[binary]"], "environment": "system" if kind == "system" else None}
    entrypoint = "flows.py:main" if kind == "system" else "prefect_ml.flows.projects.deployed.main"
    containers_yaml(folder, docker_pool, elsewhere, entrypoint, **image)
    monkeypatch.setenv("PREFECT_ML_DOCKER_BASE", base_image)
    deploy(folder, settings)
    flow_run = started(laptop.api_url, f"matrix-{kind}-main/container")
    ended(laptop.api_url, flow_run)
    for name, value in elsewhere.items():
        monkeypatch.setenv(name, value)
    store = open_store(load_settings(environ={**laptop.environ, **elsewhere}, block=dict))
    inside = Path("/opt/prefect-ml-home/environments")
    run, told = check_matrix_run(flow_run, kind, inside, store=store, alpha="0.1")
    store.engine.dispose()
    assert told["prefix"].startswith("/opt/prefect-ml")
    assert (run.source.project, run.source.commit) == (str(folder), place.commit)
    if source.startswith("git"):
        assert run.source.remote == place.address.removeprefix("git+file://")
    assert run.source.prefect["work_pool"] == docker_pool


def test_matrix_of_docker_work_pools_runs_a_flow_in_its_declared_environment(
    base_image: str,
    docker_pool: str,
    elsewhere: dict[str, str],
    laptop: Any,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "train.py").write_text(FLOW)
    containers_yaml(tmp_path, docker_pool, elsewhere, "train.py:contained")
    monkeypatch.setenv("PREFECT_ML_DOCKER_BASE", base_image)
    deploy(tmp_path, settings)
    deployment = prefect(laptop.api_url, "GET", "deployments/name/contained/container")
    created = prefect(laptop.api_url, "POST", f"deployments/{deployment['id']}/create_flow_run", json={})
    ended(laptop.api_url, created["id"])
    for name, value in elsewhere.items():
        monkeypatch.setenv(name, value)
    store = open_store(load_settings(environ={**laptop.environ, **elsewhere}, block=dict))
    run = get_run(created["id"], store=store)
    store.engine.dispose()
    assert (run.status, run.metrics) == ("Completed", {"n": 1})
    assert run.params["prefix"].startswith("/opt/prefect-ml-home/environments/"), "it compares the digest itself"


def test_matrix_of_docker_work_pools_refuses_an_image_in_an_image(matrix: Callable[[str], Any], home: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="a container of a work pool starts no further ones"):
        build_image(f"{matrix('folder').address}/docker")
