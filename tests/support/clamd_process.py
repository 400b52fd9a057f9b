"""A real clamd that knows one virus, the harmless EICAR test file; without it, tests are skipped with a warning.

It need not be installed: its packages are downloaded and unpacked into `.cache/`. It has a database of one line and no
updater, so it never talks to the network.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest
from ports import free_port

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "clamd"
PACKAGES = ("clamav-daemon", "libclamav12", "libmspack0")
DOWNLOAD_WITHIN = 120
START_WITHIN = 30.0
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-" + rb"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
NAME = "Test.Eicar.UNOFFICIAL"


@cache
def _program() -> tuple[str, dict[str, str]]:
    """Give the path of clamd and its environment; skips, loudly, where it can't be had."""
    installed = shutil.which("clamd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if installed is not None:
        return installed, dict(os.environ)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "usr/sbin/clamd").exists():
            _download()
    libraries = ":".join(str(folder) for folder in CACHE.glob("usr/lib/*-linux-gnu"))
    environment = dict(os.environ) | {"LD_LIBRARY_PATH": libraries}
    program = str(CACHE / "usr/sbin/clamd")
    runs = False
    with suppress(OSError):
        runs = subprocess.run([program, "--help"], env=environment, capture_output=True, check=False).returncode == 0
    if not runs:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("SKIPPED LOUDLY: clamd can't be downloaded, or does not run here")
    return program, environment


def _download() -> None:
    with suppress(OSError, subprocess.SubprocessError):
        packages = CACHE / "packages"
        packages.mkdir(exist_ok=True)
        subprocess.run(
            ["apt-get", "download", *PACKAGES], cwd=packages, capture_output=True, check=True, timeout=DOWNLOAD_WITHIN
        )
        for package in sorted(packages.glob("*.deb"), reverse=True):  # the program last
            subprocess.run(["dpkg-deb", "-x", str(package), str(CACHE)], capture_output=True, check=True)


class ClamdProcess:
    """A clamd in a folder of its own, on a Unix socket and a TCP port; it takes the same ones when it starts again."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.socket = folder / "clamd.sock"
        self.port = free_port()
        self.unix, self.tcp = f"unix:{self.socket}", f"tcp:127.0.0.1:{self.port}"
        self._log = folder / "clamd.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._program, self._environment = _program()
        database = folder / "database"
        database.mkdir(parents=True)
        (database / "test.ndb").write_text(f"Test.Eicar:0:*:{EICAR.hex()}\n")
        self._configuration = folder / "clamd.conf"
        own = (
            f"LocalSocket {self.socket}", f"TCPSocket {self.port}", "TCPAddr 127.0.0.1", f"DatabaseDirectory {database}",
            "Foreground yes", "SelfCheck 0", f"LogFile {self._log}",
        )  # fmt: skip
        self._configuration.write_text("\n".join((*own, *lines, "")))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = [self._program, "-c", str(self._configuration)]
        self._process = subprocess.Popen(words, env=self._environment, stdout=subprocess.DEVNULL)
        until = time.monotonic() + START_WITHIN
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(self.socket))
                connection.sendall(b"zPING\0")
                if connection.recv(16) == b"PONG\0":
                    return
            time.sleep(0.02)
        pytest.fail(f"clamd does not answer: {self.log()}")

    @property
    def pid(self) -> int:
        """Give the id of its process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Kill it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Let it hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """Give what it has logged: one line for each finding."""
        return self._log.read_text(errors="replace")


@contextmanager
def clamd_running(folder: Path, *lines: str) -> Iterator[ClamdProcess]:
    """Run a clamd, with lines of its own in its configuration."""
    clamd = ClamdProcess(folder, *lines)
    clamd.start()
    try:
        yield clamd
    finally:
        clamd.kill()
