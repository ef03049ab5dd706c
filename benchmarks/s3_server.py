"""A real S3 server for benchmarks: SeaweedFS, one process, which ends with the benchmark."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_PORTS = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
          "filer.port", "filer.port.grpc", "debug.port")  # fmt: skip
_OPTIONS = ("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-volume.max=0", "-master.volumeSizeLimitMB=1024", "-master.telemetry=false",
            "-master.electionTimeout=500ms", "-master.heartbeatInterval=100ms")  # fmt: skip
_SECONDS = 60


@contextmanager
def s3_server() -> Generator[dict[str, str]]:
    """Start a server with a bucket called `bucket`, and give the environment that leads to it."""
    ports = _free_ports(len(_PORTS))
    found = {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench-secret",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[0]}",
        "AWS_REGION": "us-east-1",
    }
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        config = Path(folder) / "s3.json"
        keys = {"accessKey": found["AWS_ACCESS_KEY_ID"], "secretKey": found["AWS_SECRET_ACCESS_KEY"]}
        config.write_text(json.dumps({"identities": [{"name": "b", "credentials": [keys], "actions": ["Admin"]}]}))
        places = [f"-{name}={port}" for name, port in zip(_PORTS, ports, strict=True)]
        weed = Path(sys.executable).with_name("weed")
        server = subprocess.Popen(
            [weed, "server", f"-dir={folder}", f"-s3.config={config}", *places, *_OPTIONS],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            _wait(found)
            yield found
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait(environ: dict[str, str]) -> None:
    import s3fs

    endpoint = environ["AWS_ENDPOINT_URL"]
    files = s3fs.S3FileSystem(
        key=environ["AWS_ACCESS_KEY_ID"], secret=environ["AWS_SECRET_ACCESS_KEY"], endpoint_url=endpoint
    )
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])), timeout=5).close()
            if not files.exists("bucket"):
                files.mkdir("bucket")
            files.pipe_file("bucket/ready", b"yes")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
