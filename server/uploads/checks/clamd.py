"""The check for viruses: clamd, the daemon of ClamAV, is asked about every file before it is published.

    `Clamd.scan`
      over a Unix socket, and the store has a file    FILDES: clamd gets the open descriptor, and no byte is copied
      otherwise                                       INSTREAM: the bytes are sent in blocks, each with its length

Each question has a connection of its own, as clamd wants it. clamd is alive if it answers PING at once; so a file is
sent only to a scanner that is there, and one that hangs is noticed in seconds.

The size is compared with the limit before clamd is asked. Beyond the limits in its own configuration clamd
resets the connection of a stream, and calls a file clean without a look at it, unless its AlertExceedsMax is set.

What `--clamd-unavailable` and `--clamd-too-large` say is done here too. While a scanner is only busy, the
file is held whatever they say: otherwise a file would pass unscanned if it came with many others.
"""

import asyncio
import logging
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from enum import StrEnum
from typing import Any

from onward.protocol.decisions import sized
from onward.protocol.model import Upload
from onward.server.uploads.checks import Content, Later, Rejected

AT_ONCE = 4  # scans: more would compete with each other, and with the server if clamd runs beside it
QUEUED_WITHIN = 30.0  # seconds that a file waits for one of these scans
ALIVE_WITHIN = 5.0  # seconds for a connection, and for the answer to PING
SILENT_FOR = 5.0  # seconds for which a clamd that was not there is not asked again
SENT_WITHIN = 30.0  # seconds for clamd to take one block
SCANNED_WITHIN = 150.0  # seconds for the verdict: clamd itself gives up after 120 (MaxScanTime)
RETRY_AFTER = 10.0
MOST_ANSWER = 4096  # bytes
MOST_PATH = 107  # bytes of the name of a Unix socket
TITLE_INFECTED = "The virus scanner refuses the file"
TITLE_UNSCANNABLE = "The file could not be scanned for viruses"
_ADDRESS = re.compile(
    r"unix:(?P<path>/[^\0]*[^\0/])|tcp:(\[(?P<ip>[0-9A-Fa-f:.%]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})"
)
_LIMIT = ("Heuristics.Limits.Exceeded", "INSTREAM size limit exceeded")  # AlertExceedsMax, and StreamMaxLength
log = logging.getLogger("onward")


class WhenUnavailable(StrEnum):
    """What happens to a file while the scanner does not answer."""

    HOLD = "hold"
    REFUSE = "refuse"
    PASS = "pass"  # noqa: S105


class WhenTooLarge(StrEnum):
    """What happens to a file that is larger than the scanner takes."""

    REFUSE = "refuse"
    PASS = "pass"  # noqa: S105


class Unanswered(Exception):
    """clamd can't be reached, does not answer in time, or answers that it can't scan."""


class TooLargeToScan(Exception):
    """The file is larger than a limit of clamd."""


class Clamd:
    """A client of the clamd at an address such as `unix:/run/clamav/clamd.ctl` or `tcp:HOST:PORT`."""

    def __init__(
        self, address: str, *, alive_within: float = ALIVE_WITHIN, scanned_within: float = SCANNED_WITHIN
    ) -> None:
        self.address = read_address(address)
        self._where = _ADDRESS.fullmatch(self.address)
        self._alive_within, self._scanned_within = alive_within, scanned_within

    async def ping(self) -> None:
        """Ask whether clamd is there. Raises Unanswered."""
        async with self._asking("zPING") as connection:
            answer = await _answer(connection, self._alive_within)
        if answer != "PONG":
            raise Unanswered(f"it answers PING with {answer!r}")

    async def scan(self, content: Content) -> str | None:
        """Return the name of what was found in a file, or None. Raises Unanswered, TooLargeToScan and StorageError."""
        answer = ""
        async with content.file() as descriptor:
            # A file that is longer than its upload is not passed on: what comes after the end is not to be judged.
            if descriptor is not None and self._local and os.fstat(descriptor).st_size == content.length:
                answer = await self._scan_descriptor(descriptor)
        if not answer or answer.endswith("ERROR"):  # a security module may keep clamd from reading the descriptor
            answer = await self._scan_stream(content)
        found = re.fullmatch(r"[^:]+: (?:OK|(.+) FOUND)", answer)
        if any(limit in answer for limit in _LIMIT):
            raise TooLargeToScan(answer)
        if not found:
            raise Unanswered(f"it answers {answer!r}")
        return found[1]

    @property
    def _local(self) -> bool:
        return self.address.startswith("unix:")

    async def _scan_descriptor(self, descriptor: int) -> str:
        async with self._asking("zFILDES") as connection:
            socket.send_fds(connection, [b"\0"], [descriptor])
            return await _answer(connection, self._scanned_within)

    async def _scan_stream(self, content: Content) -> str:
        async with self._asking("zINSTREAM") as connection, aclosing(content.blocks()) as blocks:
            async for block in blocks:
                if not await _sent(connection, block):
                    break
            else:
                await _sent(connection, b"")
            return await _answer(connection, self._scanned_within)

    @asynccontextmanager
    async def _asking(self, command: str) -> AsyncIterator[socket.socket]:
        """Connect, and send a command. Raises Unanswered, also for a fault of the connection in the body of `with`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._alive_within):
                connection = await self._connect()
            with connection:
                await loop.sock_sendall(connection, command.encode() + b"\0")
                yield connection
        except OSError as fault:  # a TimeoutError is an OSError
            raise Unanswered(_reason(fault)) from fault

    async def _connect(self) -> socket.socket:
        assert self._where is not None  # noqa: S101
        loop = asyncio.get_running_loop()
        if path := self._where["path"]:
            return await _opened(socket.AF_UNIX, path)
        host, port = self._where["ip"] or self._where["host"], int(self._where["port"])
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, _, _, _, address in found[:-1]:
            with suppress(OSError):
                return await _opened(family, address)
        return await _opened(found[-1][0], found[-1][4])


class ClamdCheck:
    """Refuses files in which clamd finds something; `limit` is the largest file that clamd scans, in bytes."""

    name = "clamd"

    def __init__(
        self,
        clamd: Clamd,
        *,
        limit: int,
        unavailable: WhenUnavailable = WhenUnavailable.HOLD,
        too_large: WhenTooLarge = WhenTooLarge.REFUSE,
    ) -> None:
        self._clamd, self._limit, self._unavailable, self._too_large = clamd, limit, unavailable, too_large
        self._places = asyncio.Semaphore(AT_ONCE)
        self._silent_until = -SILENT_FOR  # the loop's time

    async def __call__(self, upload: Upload, content: Content) -> None:
        """Scan a file. Raises Rejected with 422, Later and StorageError."""
        if not content.length:
            return
        try:
            found = await self._scan(content)
        except TooLargeToScan as fault:
            if self._too_large is WhenTooLarge.REFUSE:
                raise Rejected("unscannable", 422, TITLE_UNSCANNABLE, self._refusal(upload, content, fault)) from fault
            _pass_unscanned(upload, content, fault)
        except Unanswered as fault:
            if self._unavailable is WhenUnavailable.HOLD:
                raise Later(RETRY_AFTER, f"clamd: {fault}") from fault
            if self._unavailable is WhenUnavailable.REFUSE:
                raise Rejected(
                    "unscannable", 422, TITLE_UNSCANNABLE, "The virus scanner does not answer, so no file is accepted."
                ) from fault
            _pass_unscanned(upload, content, fault)
        else:
            if found is not None:
                name = re.sub(r"[^ -~]", "?", found)[:100]
                raise Rejected("infected", 422, TITLE_INFECTED, f"The virus scanner found {name} in the file.")

    def _refusal(self, upload: Upload, content: Content, fault: TooLargeToScan) -> str:
        """Say why a file is too large; a limit that only the scanner knows is for the operator, in the log."""
        if self._limit < content.length:
            return f"Files above {sized(self._limit)} can't be scanned for viruses, and are not accepted."
        log.warning(
            "upload %s… is not accepted: %d bytes are below --clamd-max-size, but beyond a limit of clamd itself: %s",
            upload.id[:8], content.length, fault,
        )  # fmt: skip
        return "The file is beyond a limit of the virus scanner, and is not accepted."

    async def _scan(self, content: Content) -> str | None:
        if content.length > self._limit:
            raise TooLargeToScan(f"{content.length} bytes, and {self._limit} is the most")
        try:
            async with asyncio.timeout(QUEUED_WITHIN):
                await self._places.acquire()
        except TimeoutError:
            raise Later(RETRY_AFTER, "clamd is busy with other files") from None
        try:
            await self._ping()
            return await self._clamd.scan(content)
        finally:
            self._places.release()

    async def _ping(self) -> None:
        """Ask whether clamd is there, but not again and again while it hangs. Raises Unanswered."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._silent_until:
            raise Unanswered("it did not answer a moment ago")
        try:
            await self._clamd.ping()
        except Unanswered:
            self._silent_until = loop.time() + SILENT_FOR
            raise

    async def probe(self) -> None:
        """Find out whether clamd answers; raises Later."""
        try:
            await self._clamd.ping()
        except Unanswered as fault:
            raise Later(RETRY_AFTER, f"The virus scanner can't be asked: {fault}") from fault


def _pass_unscanned(upload: Upload, content: Content, why: Exception) -> None:
    content.is_unjudged = True
    log.warning("upload %s… passes without a scan for viruses: %s", upload.id[:8], why)


def read_address(value: str) -> str:
    """Read where clamd listens. Raises ValueError."""
    found = _ADDRESS.fullmatch(value)
    if not found or int(found["port"] or 1) not in range(1, 65536) or len(os.fsencode(found["path"] or "")) > MOST_PATH:
        raise ValueError(
            f"{value!r} is not an address of clamd such as unix:/run/clamav/clamd.ctl or tcp:127.0.0.1:3310"
        )
    return value


def _reason(fault: OSError) -> str:
    """Say what is wrong with a connection, without its address: anybody may read it in /readyz."""
    if isinstance(fault, socket.gaierror):
        return "its name is not known"
    return os.strerror(fault.errno) if fault.errno else str(fault) or "it does not answer in time"


async def _opened(family: int, address: str | tuple[Any, ...]) -> socket.socket:
    """Open a connection; raises OSError."""
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


async def _sent(connection: socket.socket, block: bytes) -> bool:
    """Send a block with its length; an empty one ends the stream. Returns False if clamd does not want any more."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(SENT_WITHIN):
            await loop.sock_sendall(connection, len(block).to_bytes(4, "big"))
            await loop.sock_sendall(connection, block)
    except (BrokenPipeError, ConnectionResetError):  # there may still be an answer to read, which says why
        return False
    return True


async def _answer(connection: socket.socket, within: float) -> str:
    """Read an answer, up to its NUL; raises OSError."""
    loop, answer = asyncio.get_running_loop(), b""
    async with asyncio.timeout(within):
        while not answer.endswith(b"\0") and len(answer) < MOST_ANSWER:
            more = await loop.sock_recv(connection, MOST_ANSWER)
            if not more:
                raise ConnectionResetError("it ends the connection without an answer")
            answer += more
    return answer.rstrip(b"\0").decode(errors="replace")
