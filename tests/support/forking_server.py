"""A warm process that forks real servers, each in a few milliseconds, to be killed.

Run as a script it is that process: orders come as lines of JSON, events go out as lines. It has no threads itself.
"""

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from onward_process import ROOT

PATIENCE = 20.0  # seconds that a child may take to start or to end
LOG_END = 3000  # characters
LEASE = 2.0  # seconds, shorter than in service, so that nobody waits for long for the lease of a killed server
BRIEFLY = 0.1  # seconds, shorter than in service, that a HEAD waits for a check which can't judge anyway
CLAIM, WITHIN = 3.0, 1.0  # seconds, shorter than in service, so that the events of a killed server do not wait for long
BLOCK, STRIDE = 2**15, 2**17  # smaller than in service, so that small uploads have several of them
ABANDONED = 1.0  # seconds, as much shorter
ASLEEP = 0.1  # seconds until a process has certainly stopped that was told to
LARGE = 2**16  # bytes from which on a body is read from the socket itself
Order = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Child:
    """A server; `listening` gives its port, or None where it died before."""

    pid: int
    listening: asyncio.Future[int | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    killed: bool = False

    async def port(self) -> int | None:
        """Wait until it listens; None where it died before."""
        return await asyncio.wait_for(asyncio.shield(self.listening), PATIENCE)

    async def living_port(self) -> int:
        """Wait until it listens, which it has to."""
        port = await self.port()
        assert port is not None, "it died before it listened"
        return port

    async def kill(self) -> None:
        """Kill it as a crash would, unless it is dead already, and wait for its end."""
        if not self.ended.done():
            self.killed = True
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        status = await asyncio.wait_for(asyncio.shield(self.ended), PATIENCE)
        assert status == signal.SIGKILL, f"the server ended by itself, with {status}"


class Zygote:
    """The warm process, as tests see it; one child lives at a time."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process, self._log = process, log
        self._forked: asyncio.Queue[Child] = asyncio.Queue()
        self._child: Child | None = None

    async def fork(self, data: Path, *, point: str = "", hit: int = 1, **more: Any) -> Child:
        """Start a server on a data folder that dies, or `sleeps`, at the `hit`-th time it reaches a point.

        `boot` names the run of the machine, and `config` has further fields of Config. `scanner` is a file that says
        what a check makes of all uploads: down, infected, or clean. With `hasty` leases end soon, with `lease` after so many seconds.
        """
        assert self._process.stdin is not None
        order = {"data": str(data), "point": point, "hit": hit, **more}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await asyncio.wait_for(self._forked.get(), PATIENCE)

    def log(self) -> str:
        """Give the end of what the servers have logged."""
        return self._log.read_text()[-LOG_END:]

    async def follow(self) -> None:
        """Hear of what happens, until the process ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            word, *rest = line.decode().split() or [""]
            if word == "forked":
                self._child = Child(pid=int(rest[0]))
                self._forked.put_nowait(self._child)
            elif self._child is None:
                assert not word, line
            elif word == "listening":
                self._child.listening.set_result(int(rest[1].split(":")[2].partition("/")[0]))
            elif word == "ended" and int(rest[0]) == self._child.pid:
                if not self._child.listening.done():
                    self._child.listening.set_result(None)
                self._child.ended.set_result(int(rest[1]))


@asynccontextmanager
async def zygote(log: Path) -> AsyncIterator[Zygote]:
    """Run a warm process; whatever it forked is killed with it."""
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, cwd=ROOT, stdin=-1, stdout=-1, stderr=out, start_new_session=True
        )
    warm = Zygote(process, log)
    following = asyncio.create_task(warm.follow())
    try:
        yield warm
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await following


def _tell(*words: object) -> None:
    line = " ".join(map(str, words))
    os.write(1, f"\n{line}\n".encode())  # a child may have been killed inside of a line


def _see_its_end(pid: int) -> None:
    """Wait for a child; orders wait meanwhile."""
    _, status = os.waitpid(pid, 0)
    _tell("ended", pid, status)


def _striking(order: Order) -> Callable[[str], None]:
    """Give what happens at the points: at one of them, at one time, everything ends."""
    hits = count(1)

    def strike(name: str) -> None:
        if name == order["point"] and next(hits) == order["hit"]:
            os.kill(os.getpid(), signal.SIGSTOP if order.get("sleeps") else signal.SIGKILL)
            time.sleep(ASLEEP)  # any thread may take the signal, and this one would go on until then

    return strike


def _scanning(verdict: Path) -> Any:
    """Give a check that does what a file says; it reads all bytes."""
    from onward import Content, Later, Rejected

    async def scan(_upload: Any, content: Content) -> None:
        async for _ in content.blocks():
            pass
        if (word := verdict.read_text()) == "down":  # noqa: ASYNC240
            raise Later(0.1, "the scanner is down")
        if word == "infected":
            raise Rejected("infected", 422, "A virus was found")

    return scan


def _serve(order: Order) -> None:
    """Be a server, until killed."""
    import msgspec

    import onward.server.lifespan
    import onward.server.serve
    import onward.server.uploads.completion
    from onward import create_app
    from onward.server.config import Config
    from onward.storage import failpoints

    failpoints.armed = _striking(order) if order["point"] else None
    if scanner := order.get("scanner"):
        onward.server.uploads.completion.SHORTEST_HOLD = 0.05
        onward.server.uploads.completion.BRIEFLY = BRIEFLY
        vars(onward.server.serve)["create_app"] = partial(create_app, checks=[_scanning(Path(scanner))])
    if order.get("hasty") or order.get("lease"):
        vars(import_module("onward.storage.state.redis.leases"))["LEASE"] = order.get("lease", LEASE)
    if boot := order.get("boot"):
        onward.server.lifespan._boot = lambda: str(boot)
    fields = {"data": order["data"], "port": 0, **order.get("config", {})}
    asyncio.run(onward.server.serve.serve(msgspec.convert(fields, Config)))


async def _read_descriptions() -> None:
    """Make a client of S3, and close it: what it has read is kept for all that follow."""
    settings = import_module("onward.storage.blobs.s3.settings").read_url("s3://none?endpoint=http://127.0.0.1:9")
    client = import_module("onward.storage.blobs.s3.client")
    await client.load_descriptions()
    await (await client.open_client(settings)).close()


def main() -> None:
    """Fork a server for each order."""
    sys.path.insert(0, str(ROOT))
    import onward.protocol.lifecycle
    import onward.server.events.delivery
    import onward.server.events.webhook
    import onward.server.http.transport.body
    import onward.server.http.transport.socket_reader
    import onward.server.serve
    import onward.server.uploads.receive
    import onward.storage.blobs.disk

    import_module("onward.storage.state.sqlite")
    import_module("onward.storage.state.redis.state")
    assert Path(onward.server.serve.__file__).is_relative_to(ROOT), "another tree is imported"
    vars(onward.server.http.transport.body)["BLOCK"] = BLOCK
    onward.storage.blobs.disk.DiskBlobs.stride = onward.storage.base.Stride(STRIDE, 0.25)
    onward.server.http.transport.socket_reader.BUFFER, onward.server.http.transport.body.LARGE = BLOCK, LARGE
    onward.protocol.lifecycle.ABANDONED = ABANDONED
    onward.server.events.delivery.CLAIM, onward.server.events.webhook.WITHIN = CLAIM, WITHIN
    with suppress(ImportError):  # only for tests of object storage
        import_module("onward.storage.blobs.s3.store")
        asyncio.run(_read_descriptions())
    gc.freeze()
    for line in sys.stdin:
        if pid := os.fork():
            _see_its_end(pid)
            continue
        _tell("forked", os.getpid())
        try:
            _serve(json.loads(line))
        except BaseException:
            logging.exception("the server failed")
        finally:
            os._exit(1)


if __name__ == "__main__":
    main()
