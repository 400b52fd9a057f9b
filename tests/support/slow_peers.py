"""Peers that keep a server busy with nothing: heads and bodies that never end, and watchers that never read."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from http_connection import Headers, Tus

LORIS_EVERY = DRIBBLE_EVERY = 1.0  # seconds between two drops


async def until_closed(port: int, first: bytes, drop: bytes, every: float) -> float:
    """Send a beginning, then one drop after another; gives the seconds until the server has closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    began = loop.time()
    writer.write(first)
    ended = asyncio.ensure_future(reader.read())
    try:
        while not (await asyncio.wait({ended}, timeout=every))[0]:
            writer.write(drop)
        with suppress(OSError):
            await ended
        return loop.time() - began
    finally:
        ended.cancel()
        writer.transport.abort()


async def loris(port: int) -> float:
    """Send a head that never ends."""
    return await until_closed(port, b"GET /files HTTP/1.1\r\nHost: t\r\n", b"X: y\r\n", LORIS_EVERY)


async def dribble(tus: Tus, path: str, size: int) -> float:
    """Send a body byte by byte."""
    length: Headers = {"Content-Length": str(size)}
    return await until_closed(tus.port, tus.request("PATCH", path, tus.patching(0, length)), b"x", DRIBBLE_EVERY)


@contextmanager
def deaf(tus: Tus, path: str) -> Iterator[None]:
    """Watch an upload and read nothing."""
    upgrade: Headers = {
        "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }  # fmt: skip
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        sock.connect(("127.0.0.1", tus.port))
        sock.sendall(tus.request("GET", f"{path}/progress", upgrade))
        yield
