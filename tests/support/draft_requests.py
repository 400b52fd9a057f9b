"""The requests of the IETF draft to one server, by interop version, on plain sockets; informational replies are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from http_connection import NONE, Answer, Connection, Headers, Tus, path_of

MEDIA_TYPE = "application/partial-upload"


@dataclass(frozen=True, slots=True)
class Reply(Answer):
    """A final answer, and the informational ones before it."""

    interim: list[Answer] = field(default_factory=list)

    @property
    def over(self) -> str | None:
        """Give Upload-Complete."""
        return self.headers.get("upload-complete")

    @property
    def offset(self) -> int | None:
        """Give Upload-Offset."""
        value = self.headers.get("upload-offset")
        return None if value is None else int(value)

    @property
    def limits(self) -> dict[str, int]:
        """Give the members of Upload-Limit."""
        members = (member.partition("=") for member in self["Upload-Limit"].split(", "))
        return {key: int(value) for key, _, value in members}


def read_reply(connection: Connection, method: str) -> Reply:
    """Read informational replies, and the final one after them."""
    interim = []
    while (answer := connection.answer(method)).status < 200:
        interim.append(answer)
    return Reply(answer.status, answer.headers, answer.body, interim)


@dataclass(frozen=True, slots=True)
class Draft:
    """Requests in one interop version; None for one that the server does not know."""

    tus: Tus
    version: int | str | None

    def headers(self, headers: Headers) -> Headers:
        """Give the headers of a request: None takes one away that would be sent otherwise."""
        version = None if self.version is None else str(self.version)
        own: Headers = {"Tus-Resumable": None, "Upload-Draft-Interop-Version": version}
        return own | headers

    def request(
        self, method: str, path: str, headers: Headers = NONE, body: bytes = b"", parts: Sequence[bytes] | None = None
    ) -> bytes:
        """Write a request."""
        return self.tus.request(method, path, self.headers(headers), body, parts)

    def ask(
        self, method: str, path: str, headers: Headers = NONE, body: bytes = b"", parts: Sequence[bytes] | None = None
    ) -> Reply:
        """Send a request and give its replies; nothing may follow them."""
        close: Headers = {"Connection": "close"}
        with Connection(self.tus.port) as connection:
            connection.send(self.request(method, path, close | headers, body, parts))
            reply = read_reply(connection, method)
            assert connection.read_rest() == b"", "bytes follow the answer"
            return reply

    def create(
        self, flag: str, body: bytes = b"", headers: Headers = NONE, parts: Sequence[bytes] | None = None
    ) -> Reply:
        """Send POST."""
        own: Headers = {"Upload-Complete": flag}
        return self.ask("POST", self.tus.files, own | headers, body, parts)

    def begun(self, body: bytes = b"", length: int | None = None) -> str:
        """Create an upload with its first bytes, and give its path."""
        told: Headers = {} if length is None else {"Upload-Length": str(length)}
        reply = self.create("?0", body, told)
        assert reply.status == 201, reply
        return path_of(reply["Location"])

    def appending(self, offset: int | str | None, flag: str | None, headers: Headers = NONE) -> Headers:
        """Give the headers of PATCH."""
        told = None if offset is None else str(offset)
        own: Headers = {"Content-Type": MEDIA_TYPE, "Upload-Offset": told, "Upload-Complete": flag}
        return own | headers

    def patch(
        self,
        path: str,
        offset: int | str | None,
        flag: str | None,
        body: bytes = b"",
        headers: Headers = NONE,
        parts: Sequence[bytes] | None = None,
    ) -> Reply:
        """Send PATCH."""
        return self.ask("PATCH", path, self.appending(offset, flag, headers), body, parts)

    def head(self, path: str, headers: Headers = NONE) -> Reply:
        """Send HEAD."""
        return self.ask("HEAD", path, headers)

    def hang(self, path: str, headers: Headers, sent: bytes, method: str = "PATCH") -> Connection:
        """Send a request whose body stops before its end; the caller closes the connection."""
        connection = Connection(self.tus.port)
        connection.send(self.request(method, path, headers) + sent)
        return connection

    def holds(self, path: str, data: bytes, count: int, over: str | None = "?0") -> None:
        """Check that just the first bytes are stored, finish the upload, and check the whole file."""
        seen = self.head(path)
        assert (seen.status, seen.offset, seen.over) == (204, count, over), seen
        if over == "?0":
            done = self.patch(path, count, "?1", data[count:])
            assert (done.status, done.over, done.offset) == (200, "?1", len(data)), done
        assert self.ask("GET", path).body == data
