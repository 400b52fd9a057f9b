"""A real versitygw, an S3 server on a folder; without it, tests are skipped with a warning.

It is installed with Go: `go install github.com/versity/versitygw/cmd/versitygw@latest`.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ports import free_port
from s3_process import KEY, SECRET, S3Process, missing, s3_process

START_WITHIN = 20.0


def find_versitygw() -> str | None:
    """Give the path of the program, or None if it is not installed."""
    return shutil.which("versitygw", path=f"{os.environ.get('PATH', os.defpath)}:{Path.home() / 'go' / 'bin'}")


@contextmanager
def run_versitygw(folder: Path) -> Iterator[S3Process]:
    """Run a versitygw; its objects are plain files in the folder `data`."""
    program = find_versitygw()
    if program is None:
        missing("versitygw is not installed: go install github.com/versity/versitygw/cmd/versitygw@latest")
    port = free_port()
    (folder / "data").mkdir()
    words = [str(program), "--access", KEY, "--secret", SECRET, "--port", f"127.0.0.1:{port}"]
    words += ["--quiet", "--keep-alive", "--health", "/health", "posix", str(folder / "data")]
    with s3_process("versitygw", port, words, folder, ready="/health", within=START_WITHIN) as server:
        yield server
