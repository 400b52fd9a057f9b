"""Rounds of two servers that share a folder and a Redis, and whose clients send short files whole; one is struck.

A client that is not answered goes to the other server, perhaps with other bytes, as it may while it was told of none.
"""

import asyncio
import base64
import hashlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from async_http_connection import Lost, connected
from forking_server import Child, Zygote
from http_connection import OCTETS, Answer, path_of

POINTS = (
    "created", "judged", "written", "synced", "sealing", "linking", "renamed", "sealed", "recorded", "answering",
)  # fmt: skip
PLAN = [(point, hit) for point in POINTS for hit in (1, 2, 5)]
CLIENTS = 5
NOBODY = 1  # a port that nobody listens at
SIZES = (1, 100, 4095, 4096, 10_000, 30_000)
LEASE = 0.5  # seconds, so that nobody waits for long for the lease of a killed server
LONGEST = 0.15  # seconds after which a server is killed at random
AT_MOST = 0.6  # seconds until a server is killed that has not come to its point
PATIENCE = 40.0  # seconds until an upload is whole
AT_ONCE, ASKS, RIVALS, BOTH = 0.5, 0.3, 0.3, 0.2  # how often
PAUSE = 0.02  # seconds before another try
AGAIN = frozenset({409, 423, 503})  # answers after which a client comes back
CONFIG: dict[str, Any] = {"sweep_every": 0.1, "quiet_after": 0.3, "lease_wait": 1.0, "reserve": 0}


def digest(data: bytes) -> str:
    """Write the SHA-256 of bytes as Repr-Digest does."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


@dataclass
class Short:
    """An upload of one short file: what was sent for it, by digest, and the digest that the client was told."""

    path: str
    length: int
    sent: dict[str, bytes] = field(default_factory=dict)
    told: str = ""

    @property
    def name(self) -> str:
        """The id in its URL."""
        return self.path.rpartition("/")[2]

    def take(self, answer: Answer) -> None:
        """Note what an answer tells."""
        if answer["Upload-Offset"] == "0":
            assert not self.told, f"{self.path} was whole, and has no byte now"
            return
        assert answer["Upload-Offset"] == str(self.length)
        found = answer["Repr-Digest"]
        assert found in self.sent, f"{self.path} has bytes that nobody has sent"
        assert found == (self.told or found), f"{self.path} has other bytes now"
        self.told = found


class ShortRounds:
    """Kills of one of two servers, or of both, and what was seen of them."""

    sleeps = False  # whether servers are suspended instead
    wait = PATIENCE  # seconds that a client waits for an answer

    def __init__(self, warm: Sequence[Zygote], data: Path, dice: random.Random, state: str) -> None:
        self.struck: Counter[tuple[str, int]] = Counter()
        self.counts: Counter[str] = Counter()
        self._warm, self._data, self._dice = warm, data, dice
        self._config = CONFIG | {"state": state}
        self._plan: list[tuple[str, int]] = []
        self._uploads: list[Short] = []
        self._sent: set[str] = set()  # the digests of everything that was sent
        self._checked: dict[str, str] = {}  # the digests of published files
        self._ports = [0, 0]
        self._over = False

    async def run(self, count: int) -> None:
        """Strike so often, and check each time."""
        for _ in range(count):
            await self._round()

    def figures(self) -> str:
        """Tell what was seen."""
        told = dict(self.counts) | {"at failpoints": self.struck.total(), "points": len(self.struck)}
        return ", ".join(f"{word}: {count}" for word, count in told.items())

    def missed(self) -> list[tuple[str, int]]:
        """Give the points that no server was struck at."""
        return [each for each in PLAN if not self.struck[each]]

    def left(self) -> list[str]:
        """Give what is left in partial/ of uploads that are whole."""
        whole = {upload.name for upload in self._uploads if upload.told}
        return [path.name for path in (self._data / "partial").iterdir() if path.name.partition("-")[0] in whole]

    async def _round(self) -> None:
        if not self._plan:
            self._plan = PLAN + [("", 1)] * (len(PLAN) // 3)
            self._dice.shuffle(self._plan)
        (point, hit), victim = self._plan.pop(), self._dice.randrange(2)
        children = await self._start({victim: (point, hit)})
        self._over = False
        working = asyncio.gather(*(self._client() for _ in range(CLIENTS)))
        self.struck[point, hit] += await self._strike(children, victim, AT_MOST if point else 0.0) and bool(point)
        self._over = True
        await asyncio.wait_for(working, PATIENCE)
        self.counts["rounds"] += 1
        living = [index for index, child in children.items() if not child.ended.done()]
        await self._check(self._ports[self._dice.choice(living)])
        for index in living:
            await children[index].kill()
        self._check_at_rest()

    async def _strike(self, children: dict[int, Child], victim: int, at_most: float) -> bool:
        """Kill a server, and sometimes both, which are started again then; returns whether it died at its point."""
        ended = {children[victim].ended}
        died, _ = await asyncio.wait(ended, timeout=at_most or self._dice.uniform(0.0, LONGEST))
        await children[victim].kill()
        if self._dice.random() < BOTH:
            await children[1 - victim].kill()
            children |= await self._start({})
            self.counts["both killed"] += 1
        return bool(died)

    async def _start(self, struck: Mapping[int, tuple[str, int]]) -> dict[int, Child]:
        """Start both servers; those that are named in `struck` die there."""

        async def start(index: int) -> Child:
            point, hit = struck.get(index, ("", 1))
            child = await self._warm[index].fork(
                self._data, point=point, hit=hit, config=self._config, lease=LEASE, sleeps=self.sleeps
            )
            self._ports[index] = await child.port() or NOBODY  # its sweep may have come to the point
            return child

        return dict(enumerate(await asyncio.gather(start(0), start(1))))

    async def _client(self) -> None:
        while not self._over:
            with suppress(Lost):
                await self._send_one()

    def _port(self) -> int:
        return self._dice.choice(self._ports)

    def _bytes(self, length: int) -> bytes:
        data = self._dice.randbytes(length)
        self._sent.add(digest(data))
        return data

    async def _ask(self, method: str, path: str, headers: Mapping[str, str | None], data: bytes = b"") -> Answer:
        try:
            async with asyncio.timeout(self.wait), connected(self._port()) as line:
                answer = await line.ask(method, path, headers, data)
        except TimeoutError as fault:
            raise Lost(method) from fault
        self.counts["requests"] += 1
        return answer

    async def _send_one(self) -> None:
        """Create an upload, with its bytes or without; then send them until the server has acknowledged all."""
        data = self._bytes(self._dice.choice(SIZES))
        at_once = data if self._dice.random() < AT_ONCE else b""
        said = {"Upload-Length": str(len(data))} | ({"Content-Type": OCTETS} if at_once else {})
        answer = await self._ask("POST", "/files", said, at_once)
        if "location" not in answer:
            assert answer.status in AGAIN, answer
            return
        upload = Short(path_of(answer["Location"]), len(data), {digest(data): data} if at_once else {})
        self._uploads.append(upload)
        if answer.status == 201:
            upload.take(answer)
        async with asyncio.timeout(PATIENCE):
            while not upload.told:
                try:
                    await self._go_on(upload)
                except Lost:
                    self.counts["not answered"] += 1
                    await asyncio.sleep(PAUSE)

    async def _go_on(self, upload: Short) -> None:
        """Ask for the offset, or send all bytes, perhaps different ones to both servers at the same time."""
        if self._dice.random() < ASKS:
            answer = await self._ask("HEAD", upload.path, {})
            assert answer.status == 200 or answer.status in AGAIN, answer
            if answer.status == 200:
                upload.take(answer)
            if upload.told:
                return
        sending = [self._patch(upload) for _ in range(1 + (self._dice.random() < RIVALS))]
        for end in await asyncio.gather(*sending, return_exceptions=True):
            if end is not None:
                raise end

    async def _patch(self, upload: Short) -> None:
        data = self._bytes(upload.length)
        upload.sent[digest(data)] = data
        headers = {"Content-Type": OCTETS, "Upload-Offset": "0"}
        answer = await self._ask("PATCH", upload.path, headers, data)
        if answer.status == 204:
            assert answer["Repr-Digest"] == digest(data), f"{upload.path}: the bytes of another are told"
            upload.take(answer)
        else:
            assert answer.status in AGAIN, answer
            await asyncio.sleep(PAUSE)

    async def _check(self, port: int) -> None:
        """Ask a server for every upload of this round, and compare its file."""
        async with connected(port) as line:
            for upload in self._uploads:
                if upload.name in self._checked or not upload.told:
                    continue
                answer = await line.ask("HEAD", upload.path, {})
                assert answer.status == 200, f"{upload.path}: {answer}"
                upload.take(answer)
                answer = await line.ask("GET", upload.path, {})
                assert answer.body == upload.sent[upload.told], f"{upload.path}: the download differs"

    def _check_at_rest(self) -> None:
        """Check what lies in the folder while no server runs."""
        files = {file.name: file for file in (self._data / "files").glob("[!.]*")}
        for name in files.keys() - self._checked.keys():
            found = digest(files[name].read_bytes())
            assert found in self._sent, f"files/{name} has bytes that nobody has sent"
            assert files[name].stat().st_mode & 0o777 == 0o440
        for upload in self._uploads:
            if upload.told and upload.name not in self._checked:
                found = digest(files[upload.name].read_bytes()) if upload.name in files else "nothing"
                assert found == upload.told, f"{upload.path} has other bytes at rest"
                self._checked[upload.name] = found
                self.counts["files"] += 1


class SleepyRounds(ShortRounds):
    """Two servers of which one is suspended for longer than its lease, and wakes up when the other one has gone on."""

    sleeps, wait = True, LEASE / 2

    async def _strike(self, children: dict[int, Child], victim: int, at_most: float) -> bool:
        """Let a server sleep; returns whether it fell asleep at its point."""
        pid, until = children[victim].pid, time.monotonic() + (at_most or self._dice.uniform(0.0, LONGEST))
        while not (asleep := is_asleep(pid)) and time.monotonic() < until:  # noqa: ASYNC110 - it can't tell
            await asyncio.sleep(PAUSE)
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(LEASE + self._dice.uniform(0.0, LEASE))
        os.kill(pid, signal.SIGCONT)
        return asleep


def is_asleep(pid: int) -> bool:
    """Tell whether a signal has put a process to sleep."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
