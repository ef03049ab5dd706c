"""What a Prefect server has to know about prefect-ml: the work pool, the blocks and the deployments.

`up` runs this module as one child process while the server starts: importing Prefect and each call of its command line
cost seconds. It says on standard output what is done, one line each; everything else goes to standard error.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import runpy
import sys
import time
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .records import Record

__all__ = ["POOL", "POOL_READY"]

POOL = "ml"  # Prefect reserves every name that starts with its own
POOL_READY = f"Work pool: {POOL}"


def _main() -> None:
    from ...settings import load_settings
    from .records import read
    from .server import answers

    settings = load_settings()
    _import_prefect()
    while not ((server := read(settings, "prefect")) and _is_meant(server) and answers(settings, server)):
        time.sleep(0.1)  # the parent decides how long, and ends us
    _create_pool()
    _say(POOL_READY)
    names = _save_blocks(settings.store_url, settings.artifact_root, overwrite="--overwrite" in sys.argv)
    _say(f"Blocks: {', '.join(names)}")
    _deploy()
    _say("Deployments and automations: serve-on-promotion, relay, reconcile")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the parent reads it


def _is_meant(server: Record) -> bool:
    return server.api_url == os.environ["PREFECT_API_URL"]


def _import_prefect() -> None:
    for module in ("prefect.cli.deploy", "prefect.workers.process", "prefect_ml.flows.reconcile"):
        importlib.import_module(module)


def _create_pool() -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    pool = WorkPoolCreate(
        name=POOL,
        type="process",
        description="Runs flows as processes on this machine.",
        base_job_template=ProcessWorker.get_default_base_job_template(),
    )
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)


def _save_blocks(store_url: str, artifact_root: str, *, overwrite: bool) -> list[str]:
    """Save the default blocks; those of a server that is not ours are left as its team configured them."""
    from prefect.types import SecretDict
    from pydantic import SecretStr

    from ...blocks import ArtifactStore, ProcessServer, TrackingStore

    ProcessServer.register_type_and_schema()
    blocks = [
        TrackingStore(url=SecretStr(store_url), artifacts=artifact_root),
        ArtifactStore(url=artifact_root, credentials=SecretDict(_credentials_of(artifact_root))),
    ]
    saved: list[str] = []
    for block in blocks:
        name = f"{type(block).__name__}/default"
        try:
            block.save("default", overwrite=overwrite)
            saved.append(name)
        except ValueError:  # Prefect's word for a name that is taken
            saved.append(f"{name} (kept as it was)")
    return saved


def _credentials_of(artifact_root: str) -> dict[str, Any]:
    """Give the credentials that somebody has typed into the default block for this place."""
    from ...blocks import ArtifactStore

    try:
        block: Any = ArtifactStore.load("default")
    except ValueError:  # Prefect's word for a block that does not exist
        return {}
    return block.credentials.get_secret_value() if block.url == artifact_root else {}


def _deploy() -> None:
    """Run `prefect deploy --all` on our own prefect.yaml, in this process."""
    with as_file(files("prefect_ml") / "prefect.yaml") as file, contextlib.redirect_stdout(sys.stderr):
        sys.argv = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        try:
            runpy.run_module("prefect", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            if end.code:
                raise


if __name__ == "__main__":
    _main()
