"""The practical floor: floor.py PORT FOLDER [STRIDE [plain]]. Sockets read into buffers, written by position, hashed beside it.

No state, no locks, no errors, one thread for each connection; with a STRIDE, in bytes, fdatasync after each of them
or after 250 ms, whichever comes first; `plain` leaves out the hashes. It knows just enough of tus for the benchmarks.
"""

import hashlib
import os
import secrets
import socket
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

BUFFER, EVERY = 2**20, 0.25  # bytes, seconds


class Connection:
    """One connection of a client."""

    def __init__(self, link: socket.socket, folder: Path, stride: int, hashes: bool) -> None:
        self._link, self._folder, self._stride, self._hashes = link, folder, stride, hashes
        self._held = b""
        self._pool = ThreadPoolExecutor(1)
        self._buffers = [memoryview(bytearray(BUFFER)) for _ in range(2)]

    def serve(self) -> None:
        """Answer requests until the client leaves."""
        with suppress(ConnectionError):
            while head := self._head():
                method, path, _ = head[0].split(" ", 2)
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                if method == "POST":
                    name, size = secrets.token_hex(16), int(headers.get("content-length", 0))
                    if size:
                        self._receive(self._folder / name, 0, size)
                    self._answer("201 Created", f"Location: /files/{name}\r\nUpload-Offset: {size}")
                elif method == "HEAD":
                    self._answer("200 OK", "Upload-Offset: 0")
                else:
                    at, size = int(headers["upload-offset"]), int(headers["content-length"])
                    self._receive(self._folder / path.rpartition("/")[2], at, at + size)
                    self._answer("204 No Content", f"Upload-Offset: {at + size}")

    def _head(self) -> list[str]:
        while b"\r\n\r\n" not in self._held:
            data = self._link.recv(65536)
            if not data:
                return []
            self._held += data
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        return head.decode().split("\r\n")

    def _answer(self, status: str, header: str) -> None:
        self._link.sendall(f"HTTP/1.1 {status}\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode())

    def _receive(self, path: Path, at: int, end: int) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        hashed, hashing = hashlib.sha256(), Future[None]()
        synced, due = at, time.monotonic() + EVERY
        hashing.set_result(None)
        while at < end:
            self._buffers.reverse()
            block = self._block(end - at)
            hashing.result()
            if self._hashes:
                hashing = self._pool.submit(hashed.update, block)
            os.pwrite(fd, block, at)
            at += len(block)
            if self._stride and (at - synced >= self._stride or time.monotonic() >= due or at == end):
                os.fdatasync(fd)
                synced, due = at, time.monotonic() + EVERY
        hashing.result()
        os.close(fd)

    def _block(self, most: int) -> memoryview:
        buffer, count = self._buffers[0], min(len(self._held), most, BUFFER)
        if count:
            buffer[:count], self._held = self._held[:count], self._held[count:]
        else:
            count = self._link.recv_into(buffer, min(most, BUFFER), socket.MSG_WAITALL)
            if not count:
                raise ConnectionResetError
        return buffer[:count]


def main(port: int, folder: Path, stride: int = 0, *, hashes: bool = True) -> None:
    """Serve."""
    folder.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", port), backlog=256) as server:
        while True:
            link, _ = server.accept()
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=Connection(link, folder, stride, hashes).serve, daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:4]), hashes="plain" not in sys.argv[4:])
