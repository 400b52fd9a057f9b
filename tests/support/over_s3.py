"""Run suites whose servers keep their bytes in a bucket: `python tests/support/over_s3.py seaweedfs tests/conformance …`.

The other server of a bucket is `versitygw`. Further words go to pytest. It is for suites that look at servers from
outside, or through `kept_bytes.py`. The name of the server of the bucket is in the name of each test.

All servers share one bucket, with a prefix for each data folder. They store the tail of a body that is still open much
sooner than they do for users (`prompt_server.py`), because many tests wait until the bytes of such a body are stored.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

SERVER = "TESTS_OVER_S3"  # an environment variable: the name of the S3 server, its endpoint and the bucket, with spaces
PROMPT = ("tests/support/prompt_server.py", "0.2")


def program() -> Sequence[str]:
    """Give the program of servers: the command, or what stores tails soon if the tests run over S3."""
    return PROMPT if SERVER in os.environ else ("-m", "onward")


def words_for(data: Path) -> list[str]:
    """Give further options for a server with a data folder; none unless the tests run over S3."""
    if SERVER not in os.environ:
        return []
    _, endpoint, bucket = os.environ[SERVER].split()
    return [f"--blobs=s3://{bucket}/{prefix_of(data)}", f"--s3-endpoint={endpoint}", "--s3-region=us-east-1"]


def prefix_of(data: Path) -> str:
    """Give the prefix of the keys of the server with a data folder."""
    return sha256(str(data).encode()).hexdigest()[:16]


def main(name: str, words: list[str]) -> int:
    """Run a server, and the tests over it."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    import pytest
    from s3_process import KEYS
    from seaweedfs_process import run_seaweedfs
    from versitygw_process import run_versitygw

    run = {"seaweedfs": run_seaweedfs, "versitygw": run_versitygw}[name]
    try:
        with tempfile.TemporaryDirectory() as folder, run(Path(folder)) as server:
            env = dict(os.environ) | KEYS | {SERVER: f"{name} {server.endpoint} {server.new_bucket()}"}
            return subprocess.run([sys.executable, "-m", "pytest", *words], env=env, check=False).returncode
    except pytest.skip.Exception as lacking:
        print(f"{lacking}; not run over S3: {' '.join(words)}")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
