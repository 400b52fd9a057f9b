"""Run tests whose servers keep their bytes in a bucket: `python tests/support/over_s3.py versitygw tests/conformance …`.

For suites that look at servers from outside only. The other server is `seaweedfs`. Further words go to pytest.
"""

import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

ON_DISK = (  # tests that look into the data folder, or that want each byte of a body to be stored at once
    "tests/conformance/test_3_patch_faults.py::test_041_connection_is_reset",
    "tests/conformance/test_3_patch_faults.py::test_047_head_while_a_patch_hangs",
    "tests/conformance/test_4_deferred_length.py::test_080_growing_past_the_limit",
    "tests/conformance/test_8_concatenation.py::test_119_list_that_cannot_be_joined",
    "tests/conformance/test_8_termination.py::test_108_delete",
    "tests/conformance/test_8_termination.py::test_111_delete_while_a_patch_runs",
)
SERVER = "TESTS_OVER_S3"  # an environment variable: the endpoint, the bucket and the folder, with spaces between them


def words_for(data: Path) -> list[str]:
    """Give further options for a server with a data folder; none unless the tests are to run over S3.

    The objects of versitygw are plain files, and `files` in the data folder leads to those.
    """
    if SERVER not in os.environ:
        return []
    endpoint, bucket, folder = os.environ[SERVER].split()
    if (there := Path(folder) / bucket).is_dir() and not (data / "files").exists():
        objects = there / _prefix(data) / "files"
        objects.mkdir(parents=True)
        data.mkdir(parents=True, exist_ok=True)
        (data / "files").symlink_to(objects)
    return [f"--blobs=s3://{bucket}/{_prefix(data)}", f"--s3-endpoint={endpoint}", "--s3-region=us-east-1"]


def stored(data: Path) -> list[Path]:
    """Give the unfinished objects of a server with a data folder; none unless the tests run over S3."""
    if SERVER not in os.environ:
        return []
    from s3_process import client_of

    endpoint, bucket, _ = os.environ[SERVER].split()
    found = client_of(endpoint).list_objects_v2(Bucket=bucket, Prefix=f"{_prefix(data)}/tails/")
    return [Path(each["Key"].partition("/")[2]) for each in found.get("Contents", ())]


def _prefix(data: Path) -> str:
    return sha256(str(data).encode()).hexdigest()[:16]


def main(name: str, words: list[str]) -> int:
    """Run a server, and the tests over it."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from s3_process import KEYS
    from seaweedfs_process import run_seaweedfs
    from versitygw_process import run_versitygw

    words = [*words, *(f"--deselect={test}" for test in ON_DISK)]
    run = {"seaweedfs": run_seaweedfs, "versitygw": run_versitygw}[name]
    with tempfile.TemporaryDirectory() as folder, run(Path(folder)) as server:
        env = dict(os.environ) | KEYS | {SERVER: f"{server.endpoint} {server.new_bucket()} {folder}/data"}
        return subprocess.run([sys.executable, "-m", "pytest", *words], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
