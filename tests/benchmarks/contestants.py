"""Who takes part: this server, the floor, and peers, each started on a folder of its own and stopped by process id.

This server may keep its state in a Redis. That is started for it alone, and its processor time and memory don't count.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ports import free_port
from redis_process import redis_server

ROOT = Path(__file__).resolve().parents[2]
START_WITHIN = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
ONWARD, ON_REDIS, FLOOR, TUSD = "onward", "onward on Redis", "floor", "tusd"
PROGRAM = ("-m", "onward")
OPTIONS = ("--durability=process", "--reserve=0")


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server: its command, with {port} and {data} in it, {redis} too, and the path that uploads are created at."""

    name: str
    command: tuple[str, ...]
    path: str = "/files"
    folder: bool = True  # whether the folder has to be there
    bare: bool = False  # whether it is a floor

    @property
    def own(self) -> bool:
        """Give whether it is of this project; peers may fail."""
        return self.bare or self.name in (ONWARD, ON_REDIS)

    @property
    def needs_redis(self) -> bool:
        """Give whether its state is in a Redis."""
        return any("{redis}" in word for word in self.command)


@dataclass(frozen=True, slots=True)
class Running:
    """A contestant at work; it leads a session of its own, which all of its processes belong to."""

    contestant: Contestant
    port: int
    process: "subprocess.Popen[bytes]"
    data: Path

    def cpu(self) -> float:
        """Give the seconds of processor time that it has used, that of processes that have ended included."""
        return sum(sum(map(int, fields[11:15])) for fields in self._processes().values()) / TICKS

    def peak(self) -> int:
        """Give the largest resident size that its processes had, together, in bytes."""
        return self._size("VmHWM")

    def resident(self) -> int:
        """Give the resident size of its processes, together, in bytes."""
        return self._size("VmRSS")

    def descriptors(self) -> int:
        """Give how many descriptors its processes have open."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self._processes())

    def lag(self) -> str:
        """Give how late its event loop was since the last time; it runs by lag.py."""
        told = self.data.with_suffix(".lag")
        told.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + START_WITHIN
        while not (told.exists() and told.read_text()):
            assert time.monotonic() < end
            time.sleep(0.02)
        return told.read_text()

    def _size(self, name: str) -> int:
        texts = (Path(f"/proc/{pid}/status").read_text() for pid in self._processes())
        found = (re.search(rf"{name}:\s+(\d+)", text) for text in texts)
        return sum(int(each[1]) * 1024 for each in found if each)

    def _processes(self) -> dict[int, list[str]]:
        """Give what the system tells of each process, from its state on."""
        own = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it may have just ended
                fields = path.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.process.pid:
                    own[int(path.parent.name)] = fields
        return own


def onward(*options: str, name: str = ONWARD, program: tuple[str, ...] = PROGRAM) -> Contestant:
    """Give this server."""
    words = (sys.executable, *program, "serve", "--port={port}", "--data={data}", *OPTIONS, *options)
    return Contestant(name, words, folder=False)


def on_redis(*options: str, program: tuple[str, ...] = PROGRAM) -> Contestant:
    """Give this server with its state in a Redis."""
    return onward("--state={redis}", *options, name=ON_REDIS, program=program)


def floor(stride: int = 0, *, plain: bool = False) -> Contestant:
    """Give the floor, with a sync after each stride if there is one; a plain one doesn't hash."""
    words = (sys.executable, str(Path(__file__).with_name("floor.py")), "{port}", "{data}", str(stride))
    return (
        Contestant("floor without SHA-256", (*words, "plain"), bare=True)
        if plain
        else Contestant(FLOOR, words, bare=True)
    )


def peer(text: str) -> Contestant:
    """Read NAME=COMMAND, or NAME:PATH=COMMAND where uploads are not created at /files."""
    name, _, command = text.partition("=")
    name, _, path = name.partition(":")
    return Contestant(name, tuple(command.split()), path or "/files")


@contextmanager
def running(contestant: Contestant, folder: Path, *, fresh: bool = True, stays: bool = False) -> Iterator[Running]:
    """Run a contestant on data that are fresh, and that go with it, unless said otherwise."""
    data, port = folder / "data", free_port()
    if fresh:
        shutil.rmtree(data, ignore_errors=True)
    if contestant.folder:
        data.mkdir()
    with ExitStack() as stack:
        redis = ""
        if contestant.needs_redis:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
            redis = stack.enter_context(redis_server(place)).url
        words = [word.format(port=port, data=data, redis=redis) for word in contestant.command]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(port, process)
            yield Running(contestant, port, process, data)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not stays:
                shutil.rmtree(data, ignore_errors=True)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_WITHIN
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"{' '.join(map(str, process.args))} does not start")  # type: ignore[arg-type]
