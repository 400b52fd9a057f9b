"""The server as its users run it: a process with a data folder, killed and started again at will."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from kept_bytes import KeptBytes
from over_s3 import program, words_for
from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_WITHIN = 40.0
PROGRAM = program()
OBEYING_MODES = """
import ctypes, os, sys
for capability in (1, 2):  # those by which root may read and write whatever the modes say: CAP_DAC_*
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, "-m", "onward", *sys.argv[1:]])
"""


def peak_memory(pid: int) -> int:
    """Give the largest resident size that a process had, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def processor_time(pid: int) -> float:
    """Give the processor time that a process has used, in seconds."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class OnwardProcess:
    """One server process; it keeps its port and its folder across restarts."""

    def __init__(
        self,
        data: Path,
        state: str,
        options: Sequence[str] = (),
        program: Sequence[str] = PROGRAM,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._env = env
        self.data, self.kept = data, KeptBytes(data)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/files"
        words = ["serve", f"--port={self.port}", f"--data={data}", f"--state={state}", *words_for(data)]
        self._words = [*program, *words, *options]
        self._log = data.with_suffix(f".{self.port}.log")
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The running process."""
        assert self._process is not None
        return self._process

    @property
    def running(self) -> bool:
        """Tell whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._words, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=log, env=self._env
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_WITHIN)
        if line.decode().strip() != f"listening on {self.url}":
            await self.kill9()
            raise AssertionError(self.log())

    async def kill9(self) -> None:
        """Kill it as a crash would."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """Stop it gracefully and give its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 20)

    def is_stopped(self) -> bool:
        """Tell whether a signal has put it to sleep."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def log(self) -> str:
        """Give what it has logged."""
        return self._log.read_text()

    def peak_memory(self) -> int:
        """Give the largest resident size that it had, in bytes."""
        return peak_memory(self.process.pid)


@asynccontextmanager
async def onward(
    data: Path, state: str, options: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> AsyncIterator[OnwardProcess]:
    """Run a server, in an environment of its own if one is given; it is killed at the end if it still runs."""
    server = OnwardProcess(data, state, options, env=env)
    await server.start()
    try:
        yield server
    finally:
        if server.process.returncode is None:
            await server.kill9()
