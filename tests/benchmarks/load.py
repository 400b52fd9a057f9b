"""The client of the benchmarks: plain sockets and prepared bytes, so that it costs as little as a client can.

Files are promised by their SHA-256: who checks it has to be right, for others it is one more word about the file.
"""

import hashlib
import os
import re
import selectors
import socket
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

BLOCK = os.urandom(2**22)
VERSION = "Tus-Resumable: 1.0.0"
NAMES = {"filename": "document.pdf", "filetype": "application/pdf"}  # without them tuspyserver answers no HEAD
PATIENCE = 120.0  # seconds


def pieces(size: int) -> Iterator[memoryview]:
    """Give the bytes of a body of some size."""
    while size:
        count = min(size, len(BLOCK))
        yield memoryview(BLOCK)[:count]
        size -= count


@cache
def metadata(*sizes: int) -> str:
    """Write what is said of a file that is sent in bodies of these sizes; of none, nothing is promised."""
    hashed, words = hashlib.sha256(), dict(NAMES)
    for size in sizes:
        for piece in pieces(size):
            hashed.update(piece)
    if sizes:
        words["sha256"] = hashed.hexdigest()
    return ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in words.items())


def bodies(size: int, chunk: int | None) -> tuple[int, ...]:
    """Give the sizes of the bodies of a file, sent in chunks or whole."""
    return tuple(min(chunk or size, size - at) for at in range(0, size, chunk or size))


class Client:
    """One connection to a server that creates uploads at a path."""

    def __init__(self, port: int, path: str) -> None:
        self._link = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._path, self._host = path, f"Host: 127.0.0.1:{port}"
        self._held = b""

    def close(self) -> None:
        """Close it."""
        self._link.close()

    def request(self, method: str, path: str, *lines: str, version: tuple[str, ...] = (VERSION,)) -> bytes:
        """Write the head of a request, of tus if no other `version` is given."""
        return "\r\n".join((f"{method} {path} HTTP/1.1", self._host, *version, *lines, "", "")).encode()

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes."""
        self._link.sendall(data)

    def answer(self, status: int, *, body: bool = True) -> str:
        """Read an answer, and what body it has; gives its head."""
        while b"\r\n\r\n" not in self._held:
            self._fill()
        raw, _, self._held = self._held.partition(b"\r\n\r\n")
        head = raw.decode("latin-1")
        assert head.split(" ", 2)[1] == str(status), head
        found = re.search(r"(?i)^content-length: (\d+)", head, re.MULTILINE)
        if body and re.search(r"(?i)^transfer-encoding: chunked", head, re.MULTILINE):
            self.until(rb"0\r\n\r\n$")  # nothing else can follow yet
            self._held = b""
        rest = int(found[1]) if found and body else 0
        while rest > len(self._held):
            rest -= len(self._held)
            self._held = b""
            self._fill()
        self._held = self._held[rest:]
        return head

    def until(self, pattern: bytes) -> None:
        """Read until a pattern has come."""
        while not re.search(pattern, self._held):
            self._fill()

    def _fill(self) -> None:
        data = self._link.recv(2**20)
        assert data, "the server closed the connection"
        self._held += data

    def creation(self, size: int, said: str = "") -> bytes:
        """Write a creation."""
        return self.request(
            "POST", self._path, f"Upload-Length: {size}", f"Upload-Metadata: {said or metadata()}", "Content-Length: 0"
        )

    def bringing(self, size: int) -> bytes:
        """Write the head of a creation that brings all of its bytes."""
        told = (f"Upload-Length: {size}", f"Upload-Metadata: {metadata()}", f"Content-Length: {size}")
        return self.request("POST", self._path, "Content-Type: application/offset+octet-stream", *told)

    def created(self) -> str:
        """Read the answer to a creation; gives the path of the upload."""
        found = re.search(r"(?i)^location: (?:https?://[^/]+)?(\S+)", self.answer(201), re.MULTILINE)
        assert found
        return found[1]

    def stored(self, size: int) -> None:
        """Read the answer to a creation that brought all of its bytes, which has to state that they are stored."""
        head = self.answer(201).lower()
        assert f"\r\nupload-offset: {size}\r\n" in f"{head}\r\n", head

    def create(self, size: int, said: str = "") -> str:
        """Create an upload."""
        self.send(self.creation(size, said))
        return self.created()

    def patching(self, path: str, at: int, size: int) -> bytes:
        """Write the head of a PATCH."""
        media = "Content-Type: application/offset+octet-stream"
        return self.request("PATCH", path, media, f"Upload-Offset: {at}", f"Content-Length: {size}")

    def patch(self, path: str, at: int, size: int) -> None:
        """Send a PATCH of that many bytes."""
        self.send(self.patching(path, at, size))
        self.stream(size)
        self.answer(204)

    def stream(self, size: int) -> None:
        """Send that many bytes."""
        for piece in pieces(size):
            self.send(piece)

    def wait_for(self, selector: selectors.BaseSelector, data: object) -> None:
        """Have a selector tell, with these data, when there is something to read."""
        selector.register(self._link, selectors.EVENT_READ, data)

    def head(self, path: str) -> None:
        """Ask for the offset."""
        self.send(self.request("HEAD", path))
        self.answer(200, body=False)


def upload(port: int, path: str, size: int, chunk: int | None = None) -> None:
    """Upload a file, in chunks or whole."""
    client, sizes, at = Client(port, path), bodies(size, chunk), 0
    url = client.create(size, metadata(*sizes))
    for count in sizes:
        client.patch(url, at, count)
        at += count
    client.close()


def at_once(port: int, path: str, count: int, size: int) -> None:
    """Upload several files at the same time."""
    with ThreadPoolExecutor(count) as pool:
        for each in [pool.submit(upload, port, path, size) for _ in range(count)]:
            each.result()


def in_turn(port: int, path: str, connections: int, count: int, size: int) -> None:
    """Create that many short uploads, each with a PATCH, on connections that don't wait for each other."""
    body, begun, ended = b"".join(pieces(size)), 0, 0
    with selectors.DefaultSelector() as selector:
        urls = dict.fromkeys((Client(port, path) for _ in range(connections)), "")
        for client in urls:
            client.wait_for(selector, client)
            client.send(client.creation(size))
            begun += 1
        while ended < begun:
            for client in [key.data for key, _ in selector.select(PATIENCE)]:
                if not urls[client]:
                    urls[client] = client.created()
                    client.send(client.patching(urls[client], 0, size) + body)
                    continue
                client.answer(204)
                urls[client] = ""
                ended += 1
                if begun < count:
                    begun += 1
                    client.send(client.creation(size))
        for client in urls:
            client.close()


def cut(port: int, path: str, count: int, size: int, sent: int) -> None:
    """Begin several uploads of some size at the same time, and leave all of them after some bytes."""

    def begin(client: Client) -> None:
        client.send(client.patching(client.create(size), 0, size))
        client.stream(sent)

    clients = [Client(port, path) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(begin, clients))
    for client in clients:
        client.close()
