"""A crowd of watchers in a process of its own: python watcher_crowd.py PORT PATH HEALTHY STUCK [SOURCE].

Prints `ready` once everybody who reads has the first message, and one line of JSON once all of them were closed and all
who don't read were dropped.
"""

import asyncio
import json
import select
import socket
import sys
import time
from collections import Counter
from datetime import datetime
from typing import Any

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
MASK = bytes(4)
AT_ONCE = 50  # connections that are under way to the server
EVERY_EVENTS = 10  # each tenth of those who read asks for Server-Sent Events
FINAL = {"completed", "failed", "terminated", "expired"}


def request(port: int, path: str, *, events: bool) -> bytes:
    """Write the request of a watcher."""
    upgrade = (
        "Accept: text/event-stream\r\n"
        if events
        else "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{upgrade}\r\n".encode()


class Crowd:
    """What all of them have seen."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.delays: list[float] = []
        self.backwards = 0
        self._known: dict[bytes, tuple[int, str, float]] = {}

    def read(self, text: bytes) -> tuple[int, str]:
        """Note a message, which most of them get in the same words; gives its seq and status."""
        now = time.time()
        if text not in self._known:
            told = json.loads(text)
            stamp = datetime.fromisoformat(told["lastUpdated"]).timestamp()
            self._known[text] = (told["seq"], told["status"], stamp)
        seq, status, stamp = self._known[text]
        self.delays.append(now - stamp)
        return seq, status


class Reader(asyncio.Protocol):
    """One who reads."""

    def __init__(self, crowd: Crowd, first: bytes, *, events: bool) -> None:
        self.ready = asyncio.get_running_loop().create_future()
        self.gone = asyncio.get_running_loop().create_future()
        self._crowd, self._first, self._events = crowd, first, events
        self._held, self._begun = b"", False
        self._seq, self._status, self._code = -1, "none", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._first)

    def data_received(self, data: bytes) -> None:
        self._held += data
        if not self._begun:
            head, end, rest = self._held.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")), head
            self._begun, self._held = True, rest
        if self._events:
            *lines, self._held = self._held.split(b"\n")
            for line in lines:
                if line.startswith(b"data: "):
                    self._take(line[6:])
        else:
            while self._frame():
                pass

    def _frame(self) -> bool:
        held = self._held
        size, at = (held[1], 2) if len(held) > 1 else (0, len(held) + 1)
        if size == 126 and len(held) > 3:
            size, at = int.from_bytes(held[2:4]), 4
        if len(held) < at + size:
            return False
        kind, text, self._held = held[0] & 0x0F, held[at : at + size], held[at + size :]
        if kind == TEXT:
            self._take(text)
        elif kind == PING:
            self._transport.write(bytes((0x80 | PONG, 0x80 | size)) + MASK + text)
        elif kind == CLOSE:
            self._code = int.from_bytes(text[:2])
            self._transport.write(bytes((0x80 | CLOSE, 0x80 | size)) + MASK + text)
        return True

    def _take(self, text: bytes) -> None:
        seq, self._status = self._crowd.read(text)
        self._crowd.backwards += seq <= self._seq
        self._seq = seq
        if not self.ready.done():
            self._crowd.delays.pop()  # the state on joining is as old as it is
            self.ready.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError("closed before the first message"))
        self._crowd.ends[f"{self._status} {200 if self._events else self._code}"] += 1
        self.gone.set_result(None)


def _stuck(port: int, source: str, first: bytes) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    sock.sendall(first)
    return sock


async def _until_dropped(socks: list[socket.socket]) -> list[float]:
    """Wait until the server has reset all connections that nobody reads; gives the time of each."""
    poll = select.epoll()
    for sock in socks:
        poll.register(sock, 0)  # errors and hang-ups only
    times: list[float] = []
    while len(times) < len(socks):
        for number, _ in await asyncio.to_thread(poll.poll, 0.5):
            times.append(time.time())
            poll.unregister(number)
    return times


async def watch(port: int, path: str, healthy: int, stuck: int, source: str) -> dict[str, Any]:
    """Be the crowd; gives what it has seen."""
    loop = asyncio.get_running_loop()
    crowd, readers = Crowd(), list[Reader]()
    gate = asyncio.Semaphore(AT_ONCE)

    async def join(number: int) -> None:
        events = number % EVERY_EVENTS == EVERY_EVENTS - 1
        async with gate:
            _, reader = await loop.create_connection(
                lambda: Reader(crowd, request(port, path, events=events), events=events),
                "127.0.0.1", port, local_addr=(source, 0),
            )  # fmt: skip
            readers.append(reader)
            await reader.ready

    await asyncio.gather(*(join(number) for number in range(healthy)))
    began = time.time()
    socks = [_stuck(port, source, request(port, path, events=False)) for _ in range(stuck)]
    dropping = asyncio.create_task(_until_dropped(socks))
    print("ready", flush=True)
    await asyncio.gather(*(reader.gone for reader in readers))
    dropped = await dropping
    for sock in socks:
        sock.close()
    delays = sorted(crowd.delays)
    return {
        "ends": crowd.ends,
        "backwards": crowd.backwards,
        "messages": len(delays),
        "dropped": [round(at - began, 1) for at in dropped],
        "delays": [delays[int(share * (len(delays) - 1))] for share in (0.5, 0.99, 0.999, 1)],
    }


if __name__ == "__main__":
    words = [*sys.argv[1:], "127.0.0.1"][:5]
    print(json.dumps(asyncio.run(watch(int(words[0]), words[1], int(words[2]), int(words[3]), words[4]))), flush=True)
