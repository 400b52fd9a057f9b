"""An HTTP/1.1 client on a plain socket: it sends exact bytes, and reads one reply at a time."""

import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

PATIENCE = 15.0  # seconds that anything may take
VERSION = "1.0.0"
OCTETS = "application/offset+octet-stream"
UNKNOWN = "0" * 32
Headers = dict[str, str | None]  # None takes a header away that would be sent otherwise
NONE: Headers = {}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.headers[name.lower()]

    def __contains__(self, name: str) -> bool:
        return name.lower() in self.headers

    @property
    def told(self) -> tuple[int, dict[str, str]]:
        """Give the status and all headers but the date and the id of the request."""
        own = ("date", "x-request-id")
        return self.status, {name: value for name, value in self.headers.items() if name not in own}


class Connection:
    """One connection to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._held = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def has_answer(self) -> bool:
        """Tell whether bytes can be read."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def finish(self) -> None:
        """Send FIN: nothing more will come."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def read(self, count: int) -> bytes:
        """Read that many bytes."""
        while len(self._held) < count:
            assert self._fill(), "the connection ended inside of an answer"
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def read_line(self, end: bytes = b"\r\n") -> bytes:
        """Read up to an end mark, and give what stands before it."""
        while end not in self._held:
            assert self._fill(), "the connection ended inside of an answer"
        taken, _, self._held = self._held.partition(end)
        return taken

    def read_rest(self) -> bytes:
        """Read until the server closes the connection."""
        while self._fill():
            pass
        rest, self._held = self._held, b""
        return rest

    def answer(self, method: str = "") -> Answer:
        """Read one answer, also `100 Continue`; answers to HEAD, and 1xx, 204 and 304, have no body."""
        first, *lines = self.read_line(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.lower()
            assert name not in headers or not name.startswith(("upload-", "tus-", "location")), f"{name} came twice"
            headers[name] = value.strip() if name not in headers else f"{headers[name]}, {value.strip()}"
        if method == "HEAD" or status < 200 or status in (204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, self._chunked())
        if "content-length" in headers:
            return Answer(status, headers, self.read(int(headers["content-length"])))
        return Answer(status, headers, self.read_rest())

    def _chunked(self) -> bytes:
        body = b""
        while size := int(self.read_line(), 16):
            body += self.read(size)
            self.read_line()
        self.read_line()
        return body

    def _fill(self) -> bool:
        data = b""
        with suppress(ConnectionResetError):
            data = self._socket.recv(65536)
        self._held += data
        return bool(data)


def chunked(parts: Sequence[bytes]) -> bytes:
    """Write a body in chunks, without its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


@dataclass(frozen=True, slots=True)
class Tus:
    """The requests of tus 1.0.0 to one server, each on a connection of its own."""

    port: int
    files: str = "/files"

    @property
    def origin(self) -> str:
        """Give the scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, method: str, path: str, headers: Headers = NONE, body: bytes = b"", parts: Sequence[bytes] | None = None
    ) -> bytes:
        """Write a request of tus, which has no PUT; with `parts` its body goes in chunks."""
        known: Headers = {"Host": f"127.0.0.1:{self.port}", "Tus-Resumable": None if method == "PUT" else VERSION}
        if parts is not None:
            known["Transfer-Encoding"] = "chunked"
            body = chunked(parts) + b"0\r\n\r\n"
        elif body or method in {"POST", "PATCH"}:
            known["Content-Length"] = str(len(body))
        lines = [f"{name}: {value}" for name, value in (known | headers).items() if value is not None]
        return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + body

    def ask(
        self, method: str, path: str, headers: Headers = NONE, body: bytes = b"", parts: Sequence[bytes] | None = None
    ) -> Answer:
        """Send a request and give its answer; nothing may follow it."""
        close: Headers = {"Connection": "close"}
        with Connection(self.port) as connection:
            connection.send(self.request(method, path, close | headers, body, parts))
            answer = connection.answer(method)
            assert connection.read_rest() == b"", "bytes follow the answer"
            return answer

    def post(
        self, headers: Headers, body: bytes = b"", parts: Sequence[bytes] | None = None, *, octets: bool = True
    ) -> Answer:
        """Send POST to the collection; a body has the Content-Type of tus."""
        media: Headers = {"Content-Type": OCTETS} if octets and (body or parts) else {}
        return self.ask("POST", self.files, media | headers, body, parts)

    def create(self, length: int | None, headers: Headers = NONE) -> str:
        """Create an upload and give the path of its URL; without a length, that is deferred."""
        size: Headers = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        answer = self.post(size | headers)
        assert answer.status == 201, answer
        return path_of(answer["Location"])

    def stored(self, data: bytes, headers: Headers = NONE) -> str:
        """Create an upload with all of its bytes and give the path of its URL."""
        path = self.create(len(data), headers)
        assert self.patch(path, 0, data).status == 204
        return path

    def begun(self, data: bytes, count: int) -> str:
        """Create an upload for the data with its first bytes stored, and give the path of its URL."""
        path = self.create(len(data))
        assert self.patch(path, 0, data[:count]).status == 204
        return path

    def patching(self, offset: int | str | None, headers: Headers = NONE) -> Headers:
        """Give the headers of a PATCH."""
        told = None if offset is None else str(offset)
        return {"Content-Type": OCTETS, "Upload-Offset": told} | headers

    def patch(
        self,
        path: str,
        offset: int | str | None,
        body: bytes = b"",
        headers: Headers = NONE,
        parts: Sequence[bytes] | None = None,
    ) -> Answer:
        """Send PATCH."""
        return self.ask("PATCH", path, self.patching(offset, headers), body, parts)

    def head(self, path: str, headers: Headers = NONE) -> Answer:
        """Send HEAD."""
        return self.ask("HEAD", path, headers)

    def offset(self, path: str) -> int:
        """Ask for the offset."""
        answer = self.head(path)
        assert answer.status == 200, answer
        return int(answer["Upload-Offset"])

    def progress(self, path: str) -> bytes:
        """Give the progress message of an upload, which no other request is disturbed by."""
        return self.ask("GET", f"{path}/progress").body

    def check_holds(self, path: str, data: bytes, count: int) -> None:
        """Check that just the first bytes of the data are stored, finish the upload, and check the whole file."""
        assert self.offset(path) == count
        if count < len(data):
            answer = self.patch(path, count, data[count:])
            assert answer.status == 204, answer
            assert answer["Upload-Offset"] == str(len(data))
        assert self.ask("GET", path).body == data


def path_of(location: str) -> str:
    """Give the path of a Location."""
    path = urlsplit(location).path
    assert path, "Location has no path"
    return path


def poll(probe: Callable[[], bool], within: float = PATIENCE) -> None:
    """Wait until something is true."""
    end = time.monotonic() + within
    while not probe():
        assert time.monotonic() < end, f"not so within {within:g} s"
        time.sleep(0.02)
