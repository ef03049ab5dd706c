"""The main job, end to end: services, project, sweep, promotion, endpoint, prediction. Run by `make demo`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from prefect_ml import get_endpoint, get_run, promote, search_model_versions, search_runs
from prefect_ml.errors import PrefectMLError
from prefect_ml.flows.services import prefect_environment, status, up
from prefect_ml.settings import load_settings

PROJECT = Path(__file__).parent / "digits"
BIN = Path(sys.executable).parent
BEGAN = time.monotonic()
# The demo has a Prefect server of its own: whatever Prefect its user works with is left alone.
NOT_OURS = ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE", "PREFECT_HOME")


class DemoFailed(Exception):
    """A step did not work out; the message says what to do."""


@dataclass(frozen=True)
class Prediction:
    """What the endpoint answered."""

    digits: list[int]
    truth: list[int]
    headers: dict[str, str]


def say(step: str, text: str) -> None:
    print(f"{time.monotonic() - BEGAN:6.1f} s  {step:<9} {text}", flush=True)


def start_services() -> tuple[str, str, dict[str, str]]:
    say("up", "starting what a laptop needs (prefect-ml up)")
    up(report=lambda line: say("up", line))
    found, environment = status(), prefect_environment(load_settings())
    if not found.prefect_api_url:
        raise DemoFailed("The Prefect server does not answer; run `prefect-ml status` and look at its log.")
    return found.prefect_api_url, found.prefect_ui_url or "", environment


def deploy_project(environment: dict[str, str]) -> None:
    say("deploy", "prefect deploy --all in examples/digits, with the environment that it declares")
    command = [str(BIN / "prefect"), "--no-prompt", "deploy", "--all"]
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        lines = []
        for line in child.stdout or ():
            lines.append(line.strip(" │╭╮╰╯─\n"))
            if "environment" in line.lower():
                say("deploy", lines[-1])
    if child.returncode:
        raise DemoFailed("The project was not deployed: " + " ".join(line for line in lines[-15:] if line))


def run_project(api: str) -> str:
    with httpx.Client(base_url=api, timeout=30) as client:
        deployment = prefect(client, "GET", "/deployments/name/digits/train")
        run_id = prefect(client, "POST", f"/deployments/{deployment['id']}/create_flow_run", json={})["id"]
        say("run", f"flow run {run_id} of digits/train")
        wait("run", lambda: progress_of(client, run_id), seconds=300)
    return run_id


def prefect(client: httpx.Client, method: str, path: str, **content: Any) -> Any:
    """Ask Prefect, which answers 503 while its database is busy with somebody else."""
    for pause in (0.2, 0.5, 1, 2):
        reply = client.request(method, path, **content)
        if reply.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(pause)
    return answer(reply)


def progress_of(client: httpx.Client, run_id: str) -> tuple[bool, str]:
    state = prefect(client, "GET", f"/flow_runs/{run_id}")["state"]
    if state["type"] in ("FAILED", "CRASHED", "CANCELLED"):
        raise DemoFailed(f"The flow run ended {state['name']}: {state['message']}. See its logs in the Prefect UI.")
    trained = search_runs(f"flow_run_id = '{run_id}' and name = 'train'", order_by=["metrics.accuracy desc"])
    best = f", best accuracy {trained[0].metrics['accuracy']:.3f}" if trained and trained[0].metrics else ""
    return state["type"] == "COMPLETED", f"{state['name'].lower()}, {len(trained)} of 4 networks{best}"


def promote_best(run_id: str) -> tuple[str, int]:
    best = search_runs(f"flow_run_id = '{run_id}' and name = 'train'", order_by=["metrics.accuracy desc"])[0]
    versions = search_model_versions(f"run_id = '{best.id}'", name="digits")
    if not versions:
        raise DemoFailed(f"The best run {best.id} has no registered version; look at the flow run's register task.")
    accuracy = best.metrics["accuracy"]
    promote("digits", versions[0].version, to="Production", reason=f"best of its sweep, accuracy {accuracy:.3f}")
    say("promote", f"digits v{versions[0].version} → Production")
    return best.id, versions[0].version


def wait_for_endpoint(version: int) -> str:
    wait("serve", lambda: endpoint_progress(version), seconds=300)
    return get_endpoint("digits", "Production").url


def endpoint_progress(version: int) -> tuple[bool, str]:
    try:
        endpoint = get_endpoint("digits", "Production")
    except PrefectMLError:
        return False, "the promotion's event starts the flow that serves it"
    if endpoint.desired_version == version and endpoint.status in ("Failed", "Degraded"):
        raise DemoFailed(f"Version {version} was not rolled out: {endpoint.message}")
    return endpoint.version == version and endpoint.status == "Ready", f"endpoint {endpoint.status.lower()}"


def ask(url: str) -> Prediction:
    rows, truth = real_rows()
    reply = httpx.post(f"{url}/invocations", json={"inputs": rows}, timeout=30)
    predictions = answer(reply)["predictions"]
    headers = {key: reply.headers[key] for key in ("X-Model-Name", "X-Model-Version", "X-Run-Id")}
    return Prediction(predictions, truth, headers)


def real_rows() -> tuple[list[list[float]], list[int]]:
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    return (images[-8:] / 16).tolist(), digits[-8:].tolist()


def answer(reply: httpx.Response) -> Any:
    if reply.is_error:
        raise DemoFailed(f"{reply.request.url} answered {reply.status_code}: {reply.text[:300]}")
    return reply.json()


def wait(step: str, look: Callable[[], tuple[bool, str]], *, seconds: float) -> None:
    deadline, told, told_at = time.monotonic() + seconds, "", 0.0
    while True:
        done, text = look()
        if text != told or time.monotonic() - told_at > 10:
            told, told_at = text, time.monotonic()
            say(step, text)
        if done:
            return
        if time.monotonic() > deadline:
            raise DemoFailed(f"Nothing more happened within {seconds:.0f} s; `prefect-ml status` shows what runs.")
        time.sleep(0.5)


def summary(run_id: str, version: int, prediction: Prediction, ui: str, url: str) -> str:
    best = get_run(run_id)
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in sorted(best.metrics.items()))
    params = ", ".join(f"{name} {best.params[name]}" for name in ("hidden", "learning_rate"))
    rows = [
        ("Best run", f"{best.id} ({params})"),
        ("its metrics", metrics),
        ("Promoted", f"digits version {version} → Production"),
        ("Prediction", f"{prediction.digits} for {prediction.truth}"),
        ("its headers", json.dumps(prediction.headers)),
        ("Prefect UI", ui),
        ("Endpoint", f"{url}  (POST /invocations)"),
        ("Stop", f"{os.path.relpath(BIN / 'prefect-ml')} down"),
    ]
    return "\n".join(f"  {name:<12} {text}" for name, text in rows)


def main() -> int:
    for name in NOT_OURS:
        os.environ.pop(name, None)
    try:
        api, ui, environment = start_services()
        deploy_project(environment)
        best, version = promote_best(run_project(api))
        url = wait_for_endpoint(version)
        prediction = ask(url)
        if prediction.headers["X-Model-Version"] != str(version):
            raise DemoFailed(f"Version {prediction.headers['X-Model-Version']} answered, not {version}.")
        say("done", "the endpoint answers with the version just promoted\n")
        print(summary(best, version, prediction, ui, url))
    except (DemoFailed, PrefectMLError, httpx.HTTPError) as error:
        say("failed", str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
