"""The client of the benchmarks: plain sockets and prepared bytes, so that it costs as little as a client can."""

import os
import re
import socket
from concurrent.futures import ThreadPoolExecutor

BLOCK = os.urandom(2**22)
VERSION = "Tus-Resumable: 1.0.0"


class Client:
    """One connection to a server that creates uploads at a path."""

    def __init__(self, port: int, path: str) -> None:
        self._link = socket.create_connection(("127.0.0.1", port))
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._path, self._host = path, f"Host: 127.0.0.1:{port}"
        self._held = b""

    def close(self) -> None:
        """Close it."""
        self._link.close()

    def request(self, method: str, path: str, *lines: str) -> bytes:
        """Write the head of a request."""
        return "\r\n".join((f"{method} {path} HTTP/1.1", self._host, VERSION, *lines, "", "")).encode()

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
            while not self._held.endswith(b"0\r\n\r\n"):  # nothing else can follow yet
                self._fill()
            self._held = b""
        rest = int(found[1]) if found and body else 0
        while rest > len(self._held):
            rest -= len(self._held)
            self._held = b""
            self._fill()
        self._held = self._held[rest:]
        return head

    def _fill(self) -> None:
        data = self._link.recv(2**20)
        assert data, "the server closed the connection"
        self._held += data

    def creation(self, size: int) -> bytes:
        """Write a creation."""
        return self.request("POST", self._path, f"Upload-Length: {size}", "Content-Length: 0")

    def created(self) -> str:
        """Read the answer to a creation; gives the path of the upload."""
        found = re.search(r"(?i)^location: (?:https?://[^/]+)?(\S+)", self.answer(201), re.MULTILINE)
        assert found
        return found[1]

    def create(self, size: int) -> str:
        """Create an upload."""
        self.send(self.creation(size))
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
        while size:
            count = min(size, len(BLOCK))
            self.send(memoryview(BLOCK)[:count])
            size -= count

    def head(self, path: str) -> None:
        """Ask for the offset."""
        self.send(self.request("HEAD", path))
        self.answer(200, body=False)


def upload(port: int, path: str, size: int, chunk: int | None = None) -> None:
    """Upload a file, in chunks or whole."""
    client = Client(port, path)
    url = client.create(size)
    for at in range(0, size, chunk or size):
        client.patch(url, at, min(chunk or size, size - at))
    client.close()


def at_once(port: int, path: str, count: int, size: int) -> None:
    """Upload several files at the same time."""
    with ThreadPoolExecutor(count) as pool:
        for each in [pool.submit(upload, port, path, size) for _ in range(count)]:
            each.result()
